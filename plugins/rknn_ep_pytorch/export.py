"""A PyTorch model as ONNX, by PyTorch's own exporters."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import torch

from rknn_ep.errors import ModelError, OptionError
from rknn_ep.shapes import parse_input_shapes

TYPES_OPTION = "pytorch.input_types"
_SCRIPT_OPSET = 17
"""What the TorchScript exporter writes, and what planning works on."""

log = logging.getLogger(__name__)


def export(source: Any, options: Mapping[str, str]) -> bytes:
    """A file or a module as serialised ONNX, with fixed shapes.

    Args:
        source: the path of a TorchScript or exported program file; a `torch.nn.Module`, a `torch.jit.ScriptModule`, a
            `torch.export.ExportedProgram`.
        options: `input_shapes` gives each argument of forward() its shape, by its name or in order; `pytorch.input_types` the
            element types that are not float32 (`input_ids:int64;mask:int64`). Exported programs need neither.

    Raises:
        ModelError: the file is no such model, or PyTorch cannot export it.
        OptionError: the shape of an argument is missing.
    """
    model = _read(source) if isinstance(source, Path) else source
    try:
        if isinstance(model, torch.export.ExportedProgram):
            return _exported_program(model)
        model = model.eval()
        names = _arguments(model)
        inputs = _examples(names, options)
        if isinstance(model, torch.jit.ScriptModule):
            return _script(model, inputs, names)
        with torch.no_grad():
            program = torch.export.export(model, inputs)
        return _exported_program(program)
    except (ModelError, OptionError):
        raise
    except Exception as error:  # exporters raise whatever the model's own code raises
        raise ModelError(
            f"PyTorch cannot export this model: {_first_line(error)}",
            remedy="torch.export.export(model, inputs) shows where; control flow on tensor values is the usual reason.",
        ) from error


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"cannot read the model '{path}': no such file")
    if path.suffix.lower() == ".pt2":
        try:
            return torch.export.load(path)
        except Exception as error:
            raise ModelError(f"'{path}' is no exported program of PyTorch: {_first_line(error)}") from error
    try:
        with _quiet():
            return torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        # A pickle is not opened to find out what it is: opening one runs the code that is in it.
        raise ModelError(
            f"'{path}' is no TorchScript: it may hold weights without their network (a state dict), or a pickled module",
            remedy="Build the module in Python, load the weights, and give it to rknn_ep.compile(module, ...), "
            "or keep it with torch.jit.save or torch.export.save.",
        ) from error


def _arguments(model: Any) -> list[str]:
    """Names of forward()'s arguments that take tensors and have no default."""
    if isinstance(model, torch.jit.ScriptModule):
        schema = model.forward.schema
        return [argument.name for argument in schema.arguments if argument.name != "self" and not argument.has_default_value()]
    parameters = signature(model.forward).parameters.values()
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in kinds and one.default is Parameter.empty]


def _examples(names: Sequence[str], options: Mapping[str, str]) -> tuple[torch.Tensor, ...]:
    shapes, _ = parse_input_shapes(options.get("input_shapes", ""))
    if len(names) == 1 and len(shapes) == 1:
        shapes = dict(zip(names, shapes.values(), strict=True))
    missing = [name for name in names if name not in shapes]
    if missing:
        example = ";".join(f"{name}:1,3,224,224" for name in names)
        raise OptionError(
            f"PyTorch models do not say their shapes: input_shapes lacks {', '.join(missing)}",
            remedy=f"Set input_shapes, for example input_shapes='{example}'.",
        )
    types = _types(options.get(TYPES_OPTION, ""), names)
    generator = torch.Generator().manual_seed(0)
    return tuple(_example(shapes[name], types.get(name, torch.float32), generator) for name in names)


def _example(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.rand(shape, generator=generator).to(dtype)
    return torch.zeros(shape, dtype=dtype)  # an index that every table has


def _types(text: str, names: Sequence[str]) -> dict[str, torch.dtype]:
    types = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, kind = part.rpartition(":")
        dtype = getattr(torch, kind, None)
        if name not in names or not isinstance(dtype, torch.dtype):
            raise OptionError(
                f"option '{TYPES_OPTION}': '{part}' is no argument and element type such as {names[0] if names else 'x'}:int64",
                remedy=f"Arguments of this model: {', '.join(names)}.",
            )
        types[name] = dtype
    return types


def _exported_program(program: torch.export.ExportedProgram) -> bytes:
    with _quiet():
        written = torch.onnx.export(program, dynamo=True, verbose=False)
    if written is None:
        raise ModelError("PyTorch's exporter returned nothing")
    return bytes(written.model_proto.SerializeToString())


def _script(model: torch.jit.ScriptModule, inputs: tuple[torch.Tensor, ...], names: Sequence[str]) -> bytes:
    """TorchScript has an exporter of its own: the one for exported programs does not take it."""
    buffer = io.BytesIO()
    with _quiet(), torch.no_grad():
        torch.onnx.export(model, inputs, buffer, dynamo=False, input_names=list(names), opset_version=_SCRIPT_OPSET)
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet() -> Any:
    """What exporters print goes to the log: a caller's standard output is its own. That they are old is no news to users."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "no signature found for", UserWarning)
        yield
    for line in filter(None, printed.getvalue().splitlines()):
        log.debug("%s", line)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
