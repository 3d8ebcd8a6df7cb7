"""Verdicts of the capability tables against what the compiler does, on configurations that the tables were not made from.

    result = judge_drawn(target, count=200, seed=7, survey=survey, progress=progress)
    result.share_of_disagreements, result.accepted_but_refused

A configuration's verdict is the worst of its nodes': refused, on the CPU side, on the NPU. It agrees where the compiler does
the same. What the compiler folds away counts as taken, wherever the verdict put it. What our own limits stopped is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rknn_ep.graph import View
from rknn_ep.partitioning.capability import judge
from rknn_ep.records import Outcome, Target, Verdict
from rknn_ep_toolkit2.probing.asking import Answer, view_of
from rknn_ep_toolkit2.probing.configuration import Configuration
from rknn_ep_toolkit2.probing.random_models import draw
from rknn_ep_toolkit2.probing.survey import Progress, Survey

OUTCOMES = {
    "npu": Outcome.NPU,
    "mixed": Outcome.NPU,
    "cpu": Outcome.NATIVE_CPU,
    "refused": Outcome.REFUSED,
    "crashed": Outcome.REFUSED,
}
"""Unit of an answer -> the verdict that agrees with it."""
_ORDER = (Outcome.REFUSED, Outcome.NATIVE_CPU, Outcome.NPU)


@dataclass(frozen=True)
class Judgement:
    """One configuration at one precision."""

    configuration: Configuration
    precision: str
    verdict: Verdict
    answer: Answer

    @property
    def counts(self) -> bool:
        """Whether the compiler gave an answer."""
        return self.answer.unit in OUTCOMES or self.answer.unit == "folded"

    @property
    def agrees(self) -> bool:
        """Whether the compiler does what the verdict says."""
        if self.answer.unit == "folded":
            return self.verdict.outcome is not Outcome.REFUSED
        return OUTCOMES.get(self.answer.unit) is self.verdict.outcome

    @property
    def accepted_but_refused(self) -> bool:
        """The worst of disagreements."""
        return self.verdict.outcome is not Outcome.REFUSED and OUTCOMES.get(self.answer.unit) is Outcome.REFUSED

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.configuration.name,
            "precision": self.precision,
            "verdict": self.verdict.outcome.value,
            "reason": self.verdict.reason,
            "detail": self.verdict.detail,
            "compiler": self.answer.to_dict(),
            "configuration": self.configuration.to_dict(),
        }


@dataclass(frozen=True)
class Result:
    """All of one SoC."""

    target: str
    seed: int
    judgements: tuple[Judgement, ...]

    @property
    def counted(self) -> tuple[Judgement, ...]:
        """Those that the compiler answered."""
        return tuple(one for one in self.judgements if one.counts)

    @property
    def disagreements(self) -> tuple[Judgement, ...]:
        """In the order in which they were drawn."""
        return tuple(one for one in self.counted if not one.agrees)

    @property
    def accepted_but_refused(self) -> tuple[Judgement, ...]:
        """Never, says the tables' promise."""
        return tuple(one for one in self.counted if one.accepted_but_refused)

    @property
    def share(self) -> float:
        """Of disagreements, 0..1."""
        return len(self.disagreements) / max(len(self.counted), 1)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        units = [one.answer.unit for one in self.counted]
        return {
            "target": self.target,
            "seed": self.seed,
            "configurations": len(self.counted),
            "unanswered": len(self.judgements) - len(self.counted),
            "compiler": {unit: units.count(unit) for unit in sorted(set(units))},
            "disagreements": len(self.disagreements),
            "accepted_but_refused": len(self.accepted_but_refused),
            "share": round(self.share, 4),
            "disagreeing": [one.to_dict() for one in self.disagreements],
        }


def judge_drawn(target: Target, count: int, seed: int, survey: Survey, progress: Progress) -> Result:
    """Draw `count` configurations, ask the compiler about each at one of the target's precisions in turn, and compare."""
    drawn = draw(count, seed)
    precisions = [one for one in ("fp16", "int8") if one in target.precisions]
    turns: dict[str, dict[str, Configuration]] = {precision: {} for precision in precisions}
    for number, (name, configuration) in enumerate(drawn.items()):
        turns[precisions[number % len(precisions)]][name] = configuration
    answers: dict[tuple[str, str], Answer] = {}
    for precision, some in turns.items():
        answers |= survey.run(some, target, (precision,), progress)
    return compare(drawn, target, answers, seed)


def compare(
    configurations: Mapping[str, Configuration], target: Target, answers: Mapping[tuple[str, str], Answer], seed: int = 0
) -> Result:
    """Judge what was answered."""
    found = []
    for (name, precision), answer in answers.items():
        view = view_of(configurations[name])
        found.append(Judgement(configurations[name], precision, worst(verdicts(view, target, precision)), answer))
    return Result(target.name, seed, tuple(found))


def verdicts(view: View, target: Target, precision: str) -> tuple[Verdict, ...]:
    """Those of the shipped tables alone."""
    return judge(view, target, precision)


def worst(found: Sequence[Verdict]) -> Verdict:
    """The verdict on all nodes together."""
    return min(found, key=lambda verdict: _ORDER.index(verdict.outcome))
