"""Whether nodes are what their operators' schemas say: number of inputs, attributes and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import onnx

from rknn_ep.errors import ModelError
from rknn_ep.graph.inference import schema_of


def check_signatures(graph: onnx.GraphProto, opsets: Mapping[str, int], label: str) -> None:
    """Check every node of a graph and of its bodies; operators without a schema are the host runtime's business.

    Raises:
        ModelError: a name is no text, an input or attribute is missing or too many, an attribute has the wrong type.
    """
    versions = {"" if domain == "ai.onnx" else domain: version for domain, version in opsets.items()}
    for node in graph.node:
        _check_text(node, label)
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = versions.get(domain, 0)
        if schema_of(node.op_type, domain, version) is not None:
            problem = _problem(node, _signature(node.op_type, domain, version))
            if problem:
                raise ModelError(f"{label}: {describe(node)} {problem}", remedy="The file is damaged; export it again.")
        for body in bodies(node):
            check_signatures(body, versions, label)


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs among a node's attributes. Whoever reads the node goes by the attributes' types, so this does too."""
    found: list[onnx.GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            found.append(attribute.g)
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            found.extend(attribute.graphs)
    return found


def describe(node: onnx.NodeProto) -> str:
    """A node for people: Conv 'conv1', or Conv -> 'y' where it has no name."""
    return f"{node.op_type} '{node.name}'" if node.name else f"{node.op_type} -> '{', '.join(map(str, node.output))}'"


def _check_text(node: onnx.NodeProto, label: str) -> None:
    # Text that is not UTF-8 comes out of protobuf as bytes.
    names = [attribute.name for attribute in node.attribute]
    if {*map(type, (node.op_type, node.domain, node.name, *node.input, *node.output, *names))} != {str}:
        raise ModelError(f"{label}: a node has a name that is not text", remedy="The file is damaged; export it again.")


def _problem(node: onnx.NodeProto, signature: _Signature) -> str:
    least, most = signature.inputs
    if not least <= len(node.input) <= most:
        return f"has {len(node.input)} inputs, its operator takes {_range(least, most)}"
    least, most = signature.outputs
    if not least <= len(node.output) <= most:
        return f"has {len(node.output)} outputs, its operator makes {_range(least, most)}"
    for index, name in enumerate(node.input):
        if not name and index in signature.needed:
            return f"lacks its input '{signature.needed[index]}'"
    given = {attribute.name: attribute.type for attribute in node.attribute}
    if len(given) != len(node.attribute):
        return "has an attribute twice"
    for name in signature.required:
        if name not in given:
            return f"lacks its attribute '{name}'"
    for name, kind in given.items():
        declared = signature.attributes.get(name)
        if declared is not None and declared[0] != kind:
            return f"has an attribute '{name}' of type {_type_name(kind)} instead of {declared[1]}"
    return ""


@dataclass(frozen=True)
class _Signature:
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    needed: Mapping[int, str]
    """Place -> name of the inputs that may not be left out."""
    attributes: Mapping[str, tuple[int, str]]
    """Name -> number and name of its type."""
    required: tuple[str, ...]


@lru_cache(maxsize=4096)
def _signature(op_type: str, domain: str, version: int) -> _Signature:
    """A schema's facts in plain Python: reading them through the binding copies them each time."""
    schema = schema_of(op_type, domain, version)
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    return _Signature(
        inputs=(schema.min_input, schema.max_input),
        outputs=(schema.min_output, schema.max_output),
        needed={index: formal.name for index, formal in enumerate(schema.inputs) if formal.option == single},
        attributes={name: (one.type.value, one.type.name) for name, one in schema.attributes.items()},
        required=tuple(name for name, one in schema.attributes.items() if one.required),
    )


def _range(least: int, most: int) -> str:
    if least == most:
        return str(least)
    return f"{least} or more" if most >= (1 << 31) - 1 else f"{least} to {most}"


def _type_name(value: int) -> str:
    known: dict[int, str] = {number: name for name, number in onnx.AttributeProto.AttributeType.items()}
    return known.get(value, str(value))
