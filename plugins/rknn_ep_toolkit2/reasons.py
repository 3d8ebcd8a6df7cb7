"""Why a native operator of the vendor's simulator differs from the arithmetic that ONNX defines.

Each was measured with RKNN-Toolkit2 2.5.0: the operator alone, fed with the same codes (docs/vendor-compiler.md).
"""

from __future__ import annotations

from collections.abc import Sequence

BORDER = "sums on the border of two codes, on scales that are not of our choice: the vendor rescales in another order"
MOST_ON_BORDERS = 0.01
"""Share of values that can be there: where more differ, something else is the cause."""
_SUMS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Clip", "Flatten", "Reshape", "Add", "Mul", "Sub"})
_FLOAT = frozenset({"LayerNormalization", "Softmax", "LogSoftmax", "Erf", "Gelu", "Exp", "Sqrt", "Div", "Pow", "Reciprocal"})
_AVERAGES = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})


def reason(native: str, nodes: Sequence[str], differing: float, merged: bool = False) -> str:
    """In words, from the native operators and the ONNX nodes between two stored tensors.

    Args:
        native: the vendor's operators, separated by commas.
        nodes: "Conv name".
        differing: share of values that are not equal, 0 to 1.
        merged: whether weights among them were rewritten by the compiler.
    """
    kinds = {node.split()[0] for node in nodes}
    operators = set(native.split(", "))
    if merged:
        return "the compiler merged an Add into the weights and quantised them anew"
    if kinds & _FLOAT or operators & {"exNorm", "exMatMul", "exSoftmax13", "exSDPAttention"}:
        return f"{', '.join(sorted(kinds & _FLOAT)) or 'a float operator'} in float16: float32 sums in another order"
    if kinds & _AVERAGES:
        return "means half way between two codes; where padding is left out, the mean is multiplied in float16 there"
    if "exSwish" in operators or {"Sigmoid", "Mul"} <= kinds:
        return "SiLU is one lookup there, without the rounding of the Sigmoid that the QDQ model has"
    if any(one.startswith("Conv") and one not in ("Conv", "ConvRelu", "ConvClip") for one in operators):
        return "the activation is fused, without the rounding between it and the convolution"
    if differing <= MOST_ON_BORDERS and kinds <= _SUMS:
        return BORDER
    return "not known"
