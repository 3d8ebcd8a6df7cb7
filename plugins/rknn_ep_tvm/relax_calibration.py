"""Calibration samples for the regions of a module: what their inputs hold while TVM runs the module itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from tvm import relax

from rknn_ep.errors import CalibrationError
from rknn_ep.options import Options
from rknn_ep.quantization.samples import open_samples
from rknn_ep.records import TensorFacts
from rknn_ep_tvm.description import TVM_TYPES
from rknn_ep_tvm.relax_onnx import parameter_names
from rknn_ep_tvm.targets import host_configuration
from rknn_ep_tvm.tensors import as_tensor

if TYPE_CHECKING:
    from tvm import IRModule

_ONNX_TYPES = {"float64": "DOUBLE", **{tvm_name: onnx_name for onnx_name, tvm_name in TVM_TYPES.items()}}


def write_samples(
    mod: IRModule, name: str, regions: Sequence[tvm.ir.GlobalVar], options: Options, folder: Path
) -> dict[str, Path]:
    """Run `mod[name]` on the calibration data; for each region an .npz with one array an input, samples along a new axis.

    Args:
        mod: the module, its regions as functions of their own.
        name: the function that calls them.
        regions: their variables.
        options: `calibration` and how pictures become inputs.
        folder: where the files go; they live as long as it does.

    Raises:
        CalibrationError: the data is missing, or does not fit the function's parameters.
    """
    if not regions:
        return {}
    if options.calibration is None:
        raise CalibrationError("int8 and int16 need calibration data", remedy="Set the option calibration, or precision=fp16.")
    function = mod[name]
    facts = [_facts(*named) for named in zip(parameter_names(function), function.params, strict=True)]
    samples = open_samples(
        options.calibration, facts, mean=options.mean, std=options.std, color=options.color, resize=options.resize
    )
    calls = _calls(function, {region.name_hint for region in regions})
    machine = relax.VirtualMachine(
        tvm.compile(_watched(mod, name, calls), target=tvm.target.Target(host_configuration())), tvm.cpu()
    )
    seen: dict[str, list[list[np.ndarray[Any, Any]]]] = {region: [] for region in calls}
    for sample in samples:
        values = iter(machine[name](*(as_tensor(sample[fact.name]) for fact in facts)))
        for region, arguments in calls.items():
            seen[region].append([next(values).numpy() for _ in arguments])
    written = {}
    for number, (region, rows) in enumerate(seen.items()):
        names = parameter_names(mod[region])
        arrays: dict[str, Any] = {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        written[region] = folder / f"{number}.npz"
        np.savez(written[region], **arrays)
    return written


def _facts(name: str, parameter: relax.Var) -> TensorFacts:
    return TensorFacts(name, tuple(int(dim) for dim in parameter.ty.shape), _ONNX_TYPES[str(parameter.ty.dtype)])


def _calls(function: relax.Function, regions: set[str]) -> dict[str, list[relax.Expr]]:
    """The arguments of each region's call. Regions are made where they are called, so each is called once."""
    found: dict[str, list[relax.Expr]] = {}

    def look(expression: relax.Expr) -> None:
        if isinstance(expression, relax.Call) and getattr(expression.op, "name_hint", "") in regions:
            found.setdefault(expression.op.name_hint, list(expression.args))

    relax.analysis.post_order_visit(function, look)
    return found


def _watched(mod: IRModule, name: str, calls: dict[str, list[relax.Expr]]) -> IRModule:
    """The module with a function that gives the inputs of every region; the regions are ordinary functions in it."""
    plain = {variable: _without_codegen(function) for variable, function in mod.functions_items()}
    passes = [relax.transform.LambdaLift(), relax.transform.ToNonDataflow()]
    lifted = tvm.transform.Sequential(passes)(tvm.IRModule(plain, attrs=mod.attrs))
    function = lifted[name]
    arguments = [argument for one in _calls(function, set(calls)).values() for argument in one]
    body = relax.SeqExpr(function.body.blocks, relax.Tuple(arguments))
    made = relax.Function(function.params, body, relax.TupleType([argument.ty for argument in arguments]), attrs=function.attrs)
    lifted.update_func(lifted.get_global_var(name), made)
    return lifted


def _without_codegen(function: Any) -> Any:
    has = isinstance(function, relax.Function) and function.attrs is not None and "Codegen" in function.attrs
    return function.without_attr("Codegen") if has else function
