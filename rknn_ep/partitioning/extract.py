"""A partition as a float model of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from rknn_ep.partitioning.camera import Camera, find_cameras

if TYPE_CHECKING:
    from rknn_ep.graph import View
    from rknn_ep.partitioning.partitioner import Partition


def cameras_of(view: View, partition: Partition) -> tuple[Camera, ...]:
    """The pictures that `partition` takes: both nodes are in it, and nobody outside reads the pixels."""
    inside = set(partition.nodes)
    return tuple(
        camera for camera in find_cameras(view) if inside.issuperset(camera.nodes) and camera.pixels not in partition.outputs
    )


def extract(view: View, partition: Partition) -> ir.Model:
    """Copy a partition's nodes into a new model; `view` is left as it is.

    Returns:
        A model whose inputs and outputs are the partition's, in their order, with static shapes and element types. Where
        a picture goes in as it is (`camera`), the model's input is its pixels: float32 NCHW of the name they have in the view.
        Tensors are shared with the view, not copied.
    """
    source = view.model.graph
    pictures = {camera.picture: camera for camera in cameras_of(view, partition)}
    left_out = {node for camera in pictures.values() for node in camera.nodes}
    copies: dict[str, ir.Value] = {}

    def copy_of(value: ir.Value) -> ir.Value:
        name = value.name or ""
        if name not in copies:
            # The default of an input is no constant: a program may override it, and then feeds the partition.
            tensor = value.const_value if name in source.initializers and not value.is_graph_input() else None
            copies[name] = ir.Value(name=name, shape=value.shape, type=value.type, const_value=tensor)
        return copies[name]

    originals = {name: value for index in partition.nodes for value in _values(view.nodes[index].node) if (name := value.name)}
    inputs = [copy_of(originals[pictures[name].pixels if name in pictures else name]) for name in partition.inputs]
    nodes = []
    for index in partition.nodes:
        if index in left_out:
            continue
        node = view.nodes[index].node
        nodes.append(
            ir.Node(
                node.domain,
                node.op_type,
                [None if value is None else copy_of(value) for value in node.inputs],
                node.attributes.values(),
                outputs=[copy_of(value) if value.name else ir.Value(name="") for value in node.outputs],
                name=node.name,
                overload=node.overload,
            )
        )
    constants = [
        copies[name]
        for name in dict.fromkeys(value.name for node in nodes for value in node.inputs if value)
        if name in source.initializers
    ]
    graph = ir.Graph(
        inputs,
        [copies[name] for name in partition.outputs],
        nodes=nodes,
        initializers=[value for value in constants if value not in inputs],
        opset_imports=dict(view.model.opset_imports),
        name=partition.name,
    )
    return ir.Model(graph, ir_version=view.model.ir_version, producer_name="rknn_ep")


def _values(node: ir.Node) -> list[ir.Value]:
    return [value for value in (*node.inputs, *node.outputs) if value is not None]
