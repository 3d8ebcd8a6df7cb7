"""What the toolkit is configured with: from the target, the precision and the options `toolkit2.*`.

| option | value |
|---|---|
| `toolkit2.optimization_level` | 0 to 3; how far the compiler rewrites the graph: 2 for int8, 3 for float16 |
| `toolkit2.weight_bits` | 8 (default) or 4: w4a16 on rk3576 and rv1126b, quantised by the toolkit |
| `toolkit2.algorithm` | with quantizer=toolkit2: normal, kl_divergence, mmse; by default what calibration_method says |
| `toolkit2.timeout` | seconds that one build may take (600) |
| `toolkit2.memory_limit` | MiB that one build may hold (all at once: three quarters of the machine's memory) |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rknn_ep.errors import CompileError, OptionError, nearest

PREFIX = "toolkit2."
DEVICE = "toolkit2"
ALGORITHMS = ("normal", "kl_divergence", "mmse")
EXACT_LEVEL, FASTEST_LEVEL = 2, 3
"""At level 3 the compiler computes a convolution and the activation or sum behind it as one operator that rounds once, and
averages as convolutions. At level 2, which it advises itself for models that arrive quantised, operators compute what the QDQ
model says."""
ENDLESS_RULES = ("swap_reshape_transpose_v2",)
"""Rewritings of the compiler that undo each other for ever: this one and two others, where an integer tensor of two, three or
five dimensions comes into a partition and is transposed. Without it the same native operators come out, on PP-OCR rec too."""
MERGING_RULES = (
    "fuse_concat_conv",
    "fuse_branch_add_into_conv",
    "fuse_conv_conv_add",
    "merge_exmatmul_inner_perm",
    "merge_conv_channel_inner_perm",
)
"""Rewritings that make other numbers of ours: a Conv behind a Concat becomes float16 parts (which SoCs without float16 refuse),
x + Conv(x) and the sum of two convolutions become one convolution whose weights are quantised anew (up to 20 LSB). The last two
move the permutation behind a linear layer (an attention's heads) into its weights; with a scale for each channel the result is
wrong, up to 50 LSB, and nothing is said."""
WITHOUT_W16A16 = frozenset({"rv1103b", "rv1106b", "rk2118"})
WITH_W4A16 = frozenset({"rk3576", "rv1126b"})


@dataclass(frozen=True)
class Settings:
    """One build's configuration."""

    target: str
    precision: str
    """int8, int16 or fp16."""
    optimization_level: int = EXACT_LEVEL
    weight_bits: int = 8
    algorithm: str = ""
    per_channel: bool = True
    timeout: float = 600.0
    memory_limit: int | None = None
    """Bytes."""
    custom_string: str = ""

    @classmethod
    def of(cls, target: str, precision: str, options: Mapping[str, str]) -> Settings:
        """Read the options `toolkit2.*`, and what the others imply.

        Raises:
            OptionError: an unknown one, or a value that it does not take, here or on this SoC.
            CompileError: a precision that the toolkit does not compile for this SoC; another may.
        """
        own = {key[len(PREFIX) :]: value for key, value in options.items() if key.startswith(PREFIX)}
        for key in own:
            if key not in _KNOWN:
                raise OptionError(f"unknown option '{PREFIX}{key}': {nearest(key, _KNOWN)}")
        weight_bits = int(_one_of("weight_bits", own.get("weight_bits", "8"), ("4", "8")))
        method = options.get("calibration_method", "")
        algorithm = own.get("algorithm") or (method if method in ALGORITHMS else "normal")
        if weight_bits == 4 and target not in WITH_W4A16:
            raise OptionError(
                f"option '{PREFIX}weight_bits': {target} has no 4-bit weights (w4a16)",
                remedy=f"These have: {', '.join(sorted(WITH_W4A16))}. Leave it out for the others.",
            )
        if precision == "int16" and target in WITHOUT_W16A16:
            raise CompileError(f"RKNN-Toolkit2 compiles no 16-bit integers for {target}")
        memory = own.get("memory_limit")
        return cls(
            target=target,
            precision=precision,
            optimization_level=_number(
                "optimization_level",
                own.get("optimization_level", str(EXACT_LEVEL if precision == "int8" else FASTEST_LEVEL)),
                0,
                3,
            ),
            weight_bits=weight_bits,
            algorithm=_one_of("algorithm", algorithm, ALGORITHMS),
            per_channel=options.get("per_channel", "1") != "0",
            timeout=float(_number("timeout", own.get("timeout", "600"), 1, 86400)),
            memory_limit=_number("memory_limit", memory, 256, 1 << 20) << 20 if memory is not None else None,
        )

    @property
    def dtype(self) -> str:
        """The toolkit's name for the quantisation."""
        if self.weight_bits == 4:
            return "w4a16"
        return "w16a16i_dfp" if self.precision == "int16" else "w8a8"

    def config(self, by_vendor: bool = False) -> dict[str, Any]:
        """The arguments of RKNN.config; `by_vendor`: the toolkit quantises, and may rewrite the float model as it likes."""
        disabled = (*ENDLESS_RULES, *(() if by_vendor else MERGING_RULES))
        return {
            "target_platform": self.target,
            "optimization_level": self.optimization_level,
            "quantized_dtype": self.dtype,
            "quantized_algorithm": self.algorithm or "normal",
            "quantized_method": "channel" if self.per_channel else "layer",
            **({"disable_rules": list(disabled)} if self.precision == "int8" else {}),
            **({"custom_string": self.custom_string} if self.custom_string else {}),
        }


def check_options(options: Mapping[str, str]) -> None:
    """Look at `toolkit2.*` before any work: what a build would only say at its end.

    Args:
        options: all of a session's or build's, as text; `target` is among them.

    Raises:
        OptionError: an unknown one, a value that it does not take, or one that the SoC or the other options leave no room for.
    """
    settings = Settings.of(options["target"], "int8", options)
    if settings.weight_bits == 4 and options.get("precision") in ("fp16", "int16"):
        raise OptionError(
            f"option '{PREFIX}weight_bits' is 4, and precision is {options['precision']}",
            remedy="4-bit weights go with 16-bit floats (w4a16) and are asked for with precision int8, or auto.",
        )
    if settings.weight_bits == 4 and "calibration" not in options:
        raise OptionError(
            f"option '{PREFIX}weight_bits' is 4: the toolkit quantises by itself, and there is no calibration data",
            remedy="Set calibration to a folder of 20 to 200 pictures, a .npz, a .npy or a list file.",
        )
    asked = {
        f"{PREFIX}weight_bits=4": settings.weight_bits == 4,
        "precision=int16": options.get("precision") == "int16",
        "quantizer=toolkit2": options.get("quantizer") == "toolkit2",
    }
    if options.get("device") == DEVICE and (given := [name for name, there in asked.items() if there]):
        raise OptionError(
            f"device={DEVICE} runs rknn_ep's own 8-bit quantisation or float16, and {given[0]} is quantised by the toolkit",
            remedy="Leave one of them out; rknn-ep compile writes such a .rknn for boards.",
        )


_KNOWN = ("optimization_level", "weight_bits", "algorithm", "timeout", "memory_limit", "weights")
"""The last is the importers': where a network's weights lie."""


def _one_of(name: str, value: str, valid: tuple[str, ...]) -> str:
    if value not in valid:
        raise OptionError(f"option '{PREFIX}{name}' does not take '{value}': {nearest(value, valid)}")
    return value


def _number(name: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise OptionError(f"option '{PREFIX}{name}' is a number from {least} to {most}, not '{text}'")
    return int(text)
