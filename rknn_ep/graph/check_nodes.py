"""Whether nodes are what their operators' schemas say: number of inputs, attributes and their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
        schema = schema_of(node.op_type, domain, versions.get(domain, 0))
        if schema is not None:
            problem = _problem(node, schema)
            if problem:
                raise ModelError(f"{label}: {describe(node)} {problem}", remedy="The file is damaged; export it again.")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                check_signatures(attribute.g, versions, label)
            for body in attribute.graphs:
                check_signatures(body, versions, label)


def describe(node: onnx.NodeProto) -> str:
    """A node for people: Conv 'conv1', or Conv -> 'y' where it has no name."""
    return f"{node.op_type} '{node.name}'" if node.name else f"{node.op_type} -> '{', '.join(map(str, node.output))}'"


def _check_text(node: onnx.NodeProto, label: str) -> None:
    # Text that is not UTF-8 comes out of protobuf as bytes.
    texts = (node.op_type, node.domain, node.name, *node.input, *node.output, *(attribute.name for attribute in node.attribute))
    if not all(isinstance(text, str) for text in texts):
        raise ModelError(f"{label}: a node has a name that is not text", remedy="The file is damaged; export it again.")


def _problem(node: onnx.NodeProto, schema: Any) -> str:  # noqa: PLR0911 - one answer a rule
    if not schema.min_input <= len(node.input) <= schema.max_input:
        return f"has {len(node.input)} inputs, its operator takes {_range(schema.min_input, schema.max_input)}"
    if not schema.min_output <= len(node.output) <= schema.max_output:
        return f"has {len(node.output)} outputs, its operator makes {_range(schema.min_output, schema.max_output)}"
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    for name, formal in zip(node.input, schema.inputs, strict=False):
        if not name and formal.option == single:
            return f"lacks its input '{formal.name}'"
    given = {attribute.name: attribute.type for attribute in node.attribute}
    if len(given) != len(node.attribute):
        return "has an attribute twice"
    for name, declared in schema.attributes.items():
        if name not in given:
            if declared.required:
                return f"lacks its attribute '{name}'"
        elif given[name] != declared.type.value:
            return f"has an attribute '{name}' of type {_type_name(given[name])} instead of {declared.type.name}"
    return ""


def _range(least: int, most: int) -> str:
    if least == most:
        return str(least)
    return f"{least} or more" if most >= (1 << 31) - 1 else f"{least} to {most}"


def _type_name(value: int) -> str:
    known: dict[int, str] = {number: name for name, number in onnx.AttributeProto.AttributeType.items()}
    return known.get(value, str(value))
