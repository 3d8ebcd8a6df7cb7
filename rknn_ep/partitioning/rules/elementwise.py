"""Operators that work element by element: activations, arithmetic, comparisons, selection, conversion.

The compiler reshapes one to five dimensions to its four, broadcasting included (probe cases Relu_1d to Relu_5d, Add_1d
to Add_bcast_5d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from rknn_ep.partitioning.rules.common import (
    FLOATS,
    MAX_RANK,
    UP_TO_FIVE,
    Case,
    Refuse,
    Rule,
    computed,
    data,
    expect,
    fixed,
    float_types,
    given,
    lowered,
    of_volumes,
    ranked,
    shape,
    typed,
)
from rknn_ep.records import NodeFacts

UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
]
ARITHMETIC = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Mean", "Sum", "Mod"]
COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


LOWERED = {
    "Selu": Case("l_Selu", note=lowered("Elu, Mul")),
    "Celu": Case("l_Celu", note=lowered("Div, Elu, Mul")),
    "Softsign": Case("l_Softsign", note=lowered("Abs, Add, Div")),
    "Mean": Case("l_Mean", note=lowered("Sum, Mul")),
    "Min": Case("l_Min", note=lowered("Neg, Max, Neg")),
}
"""Operators that the compiler leaves to the CPU side and that are NPU operators when written out."""


def unary(node: NodeFacts) -> Case:
    """One float tensor in, one of the same shape out."""
    float_types(node)
    ranked(data(node), *UP_TO_FIVE)
    if node.op_type in (*LOWERED, "Neg"):
        _no_batch_of_volumes(node)
    if node.op_type == "Softsign" and len(shape(data(node))) == 1:
        return Case("l_Softsign_1d", note=LOWERED["Softsign"].note)
    return LOWERED.get(node.op_type, Case(node.op_type))


def _no_batch_of_volumes(node: NodeFacts) -> None:
    """The compiler fails on a constant beside five dimensions whose first is above 1 (AttributeError: node_use_target_const)."""
    dims = shape(node.outputs[0])
    if len(dims) == 5 and dims[0] > 1:
        raise Refuse("rank", f"a constant and a batch of {dims[0]} in five dimensions", "batch 1 in five dimensions")


def shrink(node: NodeFacts) -> Case:
    """The soft form (bias = lambd) is an NPU operator when written out."""
    float_types(node)
    ranked(data(node), *UP_TO_FIVE)
    soft = float(node.attributes.get("bias", 0.0)) == float(node.attributes.get("lambd", 0.5))
    return Case("l_Shrink", note=lowered("Sub, Relu, Neg")) if soft else Case("Shrink")


def clip(node: NodeFacts) -> Case:
    """Bounds are constant."""
    float_types(node)
    ranked(data(node), *UP_TO_FIVE)
    fixed(node, 1, 2)
    return Case("Clip")


def mish(node: NodeFacts) -> Case:
    """As an operator it is computed on the CPU side; written out, the compiler fuses it on the NPU."""
    float_types(node)
    return Case("p_mish", note=lowered("Softplus, Tanh, Mul"))


def identity(node: NodeFacts) -> Case:
    """Identity, and Dropout as inference sees it."""
    typed(data(node), FLOATS)
    for output in node.outputs[1:]:
        if output.name:
            raise Refuse("attribute", f"output '{output.name}' is used", "only the first output")
    if (training := given(node, 2)) is not None and (training.constant is None or bool(training.constant.any())):
        raise Refuse("attribute", "training_mode is not false", "training_mode = 0")
    return Case(node.op_type)


def arithmetic(node: NodeFacts) -> Case:
    """Two or more tensors, broadcast against each other; a constant operand may change the case."""
    float_types(node)
    _broadcastable(node)
    operands = [tensor for tensor in node.inputs if tensor is not None]
    constants = [tensor.constant for tensor in operands]
    special = _ARITHMETIC.get(node.op_type)
    case = special(constants) if special is not None else None
    beside = case.name if case is not None else ""
    if (node.op_type in LOWERED or any(value is not None for value in constants)) and beside not in ("Clip", "Pow"):
        _no_batch_of_volumes(node)
    if _channels_of_a_volume(node):
        return Case("Div_by_channel_5d" if node.op_type == "Div" else f"{node.op_type}_5d_channel")
    if case is not None:
        if case.name in ("Div", "Mul") and _row_for_all(node):
            return Case(f"{case.name}_2d_row")
        if node.op_type == "Div":
            return _divided(node, case)
        return _greatest(node, case) if case.name in ("Max", "Max_const", "l_Min") else case
    if node.op_type == "Mean":
        wide = "" if all(_whole_or_by_channel(shape(tensor), shape(node.outputs[0])) for tensor in operands) else "_bcast"
        return Case(f"{'Mean_3in' if len(operands) > 2 else 'l_Mean'}{wide}", note=LOWERED["Mean"].note)
    if node.op_type == "Sum" and len(operands) > 2:
        return Case("Sum_3in")
    if node.op_type == "Mod":
        expect(node, "fmod", 0, 1)
    return LOWERED.get(node.op_type, Case(node.op_type))


def _divided(node: NodeFacts, case: Case) -> Case:
    """Quotients differ by the number of dimensions."""
    rank = len(shape(node.outputs[0]))
    if case.name in ("Div_const_first", "Div_full_first") and rank == MAX_RANK:
        return Case("Div_const_first_5d")
    if case.name == "Div":
        return Case("Div_1d" if rank == 1 else "Div_rank" if rank == 4 and not _level(node) else "Div")
    return case


def _row_for_all(node: NodeFacts) -> bool:
    """Whether one row meets every row of two dimensions."""
    result = shape(node.outputs[0])
    rows = [shape(tensor) for tensor in node.inputs if tensor is not None and shape(tensor) != result]
    return len(result) == 2 and result[0] > 1 and any(row[-1] == prod(row) == result[1] for row in rows if row)


def _channels_of_a_volume(node: NodeFacts) -> bool:
    """Whether a volume meets one value for each channel, which is the CPU side's on RK2118 and RV1106B."""
    result = shape(node.outputs[0])
    if len(result) != MAX_RANK or node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return False
    computed_too = node.op_type in ("Add", "Mul")
    return any(
        _by_channel(shape(tensor), result) and (computed_too or tensor.constant is not None)
        for tensor in node.inputs
        if tensor is not None
    )


def _by_channel(operand: tuple[int, ...], result: tuple[int, ...]) -> bool:
    aligned = (1,) * (len(result) - len(operand)) + operand
    return 1 < aligned[1] == prod(operand) < prod(result)


def _whole_or_by_channel(operand: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Whether nothing of an operand is extended, or one value for each channel; of means of others RV1106B's compiler dies."""
    channels = 1 if len(result) > 2 else 0
    aligned = (1,) * (len(result) - len(operand)) + operand
    by_channel = 1 < aligned[channels] == prod(operand) and len(result) < MAX_RANK
    return aligned == result or by_channel


def _greatest(node: NodeFacts, case: Case) -> Case:
    """The NPU's maximum is of four dimensions, or five, and of tensors of one rank."""
    if not _level(node):
        return Case("l_Min_rank" if case.name == "l_Min" else "Max_rank", note=case.note)
    result = shape(node.outputs[0])
    rank = len(result)
    extended = [operand for tensor in node.inputs if tensor is not None and (operand := shape(tensor)) != result]
    if rank == MAX_RANK and extended and case.name == "l_Min":
        return Case("l_Min_5d_bcast", note=case.note)
    if rank == MAX_RANK and case.name == "Max" and any(1 < operand[1] == prod(operand) for operand in extended):
        return Case("Max_5d_channel")
    if rank == 4 and case.name == "l_Min" and not all(_whole_or_by_channel(operand, result) for operand in extended):
        return Case("l_Min_bcast", note=case.note)
    return case if rank == 4 else Case(f"{case.name}_5d" if rank == 5 else f"{case.name}_3d", note=case.note)


def _level(node: NodeFacts) -> bool:
    """Whether every operand has the rank of the result; what broadcasting would have to extend goes to the CPU side."""
    rank = len(shape(node.outputs[0]))
    return all(len(shape(tensor)) == rank for tensor in node.inputs if tensor is not None)


Constants = Sequence[np.ndarray[Any, Any] | None]


def _power(constants: Constants) -> Case:
    exponent = constants[1]
    if exponent is None or exponent.size != 1:
        return Case("Pow")
    probed = {2.0: "Pow_const2", 3.0: "Pow_const3", 0.5: "Pow_half"}  # by 0.75 and by -1 it goes to the CPU side (l_LRN)
    return Case(probed.get(float(exponent.reshape(())), "Pow"))


def _quotient(constants: Constants) -> Case:
    divisor = constants[1]
    if divisor is not None:
        # At int8 the compiler dies of a constant divisor that is more than a number.
        return Case(
            "Div_const" if divisor.size == 1 else "Div_by_channel" if divisor.size == max(divisor.shape) else "Div_by_full"
        )
    if constants[0] is not None:
        return Case("Div_const_first" if constants[0].size == 1 else "Div_full_first")
    return Case("Div")


def _extremum(op_type: str) -> Callable[[Constants], Case]:
    def judge(constants: Constants) -> Case:
        if len(constants) == 2 and any(value is not None and value.size == 1 for value in constants):
            return Case("Clip", note=lowered("Clip"))
        if op_type == "Min":
            return LOWERED["Min"]
        return Case("Max" if all(value is None for value in constants) else "Max_const")

    return judge


def _with_constant(plain: str, constant: str) -> Callable[[Constants], Case]:
    return lambda constants: Case(plain if all(value is None for value in constants) else constant)


_ARITHMETIC: dict[str, Callable[[Constants], Case]] = {
    "Pow": _power,
    "Div": _quotient,
    "Max": _extremum("Max"),
    "Min": _extremum("Min"),
    "Add": _with_constant("Add", "Add_const_ch"),
    "Mul": _with_constant("Mul", "Mul_const_scalar"),
}


def comparison(node: NodeFacts) -> Case:
    """Floats in, booleans out. Of a value for each channel some SoCs' compilers die."""
    float_types(node, outputs=("BOOL",))
    _broadcastable(node)
    return Case(f"{node.op_type}{_extended(node)}")


def _extended(node: NodeFacts) -> str:
    """How the smaller operand is extended: not at all, from one value, one a channel, one a row, in another way."""
    result = shape(node.outputs[0])
    smaller = min((shape(tensor) for tensor in node.inputs if tensor is not None), key=prod)
    if prod(smaller) == prod(result):
        return ""
    if prod(smaller) == 1:
        return "_one"
    aligned = (1,) * (len(result) - len(smaller)) + smaller
    if len(result) > 2 and aligned[1] == prod(smaller):
        return "_channel"
    return "_inner" if aligned[-1] == 1 < result[-1] else "_bcast"


def logic(node: NodeFacts) -> Case:
    """Booleans in and out."""
    tensors = [tensor for tensor in (*node.inputs, *node.outputs) if tensor is not None]
    for tensor in tensors:
        typed(tensor, ("BOOL",))
    _broadcastable(node)
    odd = "_odd" if any(_converted(shape(tensor)) for tensor in tensors) else ""
    return Case(f"{'Not_b' if node.op_type == 'Not' else node.op_type}{odd}")


def _converted(dims: tuple[int, ...]) -> bool:
    """Whether the compiler makes a convolution to convert the layout, which RK2118's cannot do with booleans."""
    return len(dims) == 4 and dims[1] > 1 and prod(dims[2:]) > 1 and (dims[1] <= 4 or prod(dims[2:]) % 4 != 0)


def test_number(node: NodeFacts) -> Case:
    """IsNaN and IsInf."""
    float_types(node, outputs=("BOOL",))
    return Case(node.op_type)


def where(node: NodeFacts) -> Case:
    """A boolean choice between two float tensors."""
    typed(data(node, 0), ("BOOL",))
    for index in (1, 2):
        typed(data(node, index), FLOATS)
    _broadcastable(node)
    dims = shape(node.outputs[0])
    number = any(tensor is not None and tensor.constant is not None and tensor.constant.size == 1 for tensor in node.inputs)
    odd = "_odd" if _converted(shape(data(node, 0))) else ""
    if not number and not _level(node):
        return Case(f"Where_rank{odd}")
    sizes = [prod(shape(tensor)) for tensor in node.inputs if tensor is not None]
    kind = "_number" if number else "_one" if min(sizes) == 1 < prod(dims) else "_bcast" if min(sizes) < prod(dims) else ""
    return Case(f"Where{'' if len(dims) == 4 else '_3d'}{kind}{odd}")


def prelu(node: NodeFacts) -> Case:
    """The slope is constant; with a computed one the compiler fails."""
    float_types(node)
    ranked(data(node), *UP_TO_FIVE)
    if not computed(node, 1):
        return Case("PRelu")
    rank = len(shape(data(node)))
    one = prod(shape(data(node, 1))) == 1
    kind = "_2d" if rank < 3 else "_3d" if rank == 3 else "_one" if one else ""
    return Case(f"l_PRelu_dyn{kind}", note=lowered("Relu, Neg, Mul, Sub"))


def cast(node: NodeFacts) -> Case:
    """Between float, boolean and int32."""
    types = (*FLOATS, "BOOL", "INT32")
    typed(data(node), types)
    typed(node.outputs[0], types)
    target = node.outputs[0].dtype
    half = {2: "Cast_f16_2d", 3: "Cast_f16_3d"}.get(len(shape(data(node))), "Cast_f16")
    return Case("Cast_bool" if target == "BOOL" else "Cast_i32" if target == "INT32" else half)


def _broadcastable(node: NodeFacts) -> None:
    for tensor in node.outputs:
        ranked(tensor, *UP_TO_FIVE)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(ARITHMETIC, arithmetic),
    **dict.fromkeys(COMPARISONS, comparison),
    **dict.fromkeys(("And", "Or", "Xor", "Not"), logic),
    **dict.fromkeys(("IsNaN", "IsInf"), test_number),
    **dict.fromkeys(("Identity", "Dropout"), identity),
    "Shrink": shrink,
    "Clip": clip,
    "Mish": mish,
    "Where": where,
    "PRelu": prelu,
    "Cast": cast,
}

RULES: dict[str, Rule] = {name: of_volumes(rule) for name, rule in _RULES.items()}
