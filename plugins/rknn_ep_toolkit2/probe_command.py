"""`rknn-ep toolkit probe`: capability tables from the real compiler's answers, judged on what they were not made from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from rknn_ep.cli.output import EXIT_BELOW, Json, print_json, progress, stdout
from rknn_ep.errors import OptionError
from rknn_ep.plugins import plugins
from rknn_ep.records import Target

MOST_DISAGREEMENTS = 0.02
"""Share of held-out configurations at which the command leaves with 3."""


def probe(
    target: Annotated[list[str] | None, typer.Option("--target", metavar="SOC", help="The SoC; may be repeated.")] = None,
    all_targets: Annotated[bool, typer.Option("--all", help="Every SoC.")] = False,
    ops: Annotated[
        list[str] | None, typer.Option("--ops", metavar="OPERATOR", help="Ask only these operators or cases; may be repeated.")
    ] = None,
    same_as: Annotated[
        str, typer.Option("--same-as", metavar="SOC", help="Ask a sample only, and take that SoC's table if all answers are its.")
    ] = "",
    sample: Annotated[int, typer.Option("--sample", min=1, help="Configurations of --same-as.")] = 60,
    held_out: Annotated[
        int, typer.Option("--held-out", metavar="N", min=0, help="Judge the tables on N drawn configurations; write none.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn.")] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for answers and tables.")] = Path("probe"),
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Builds at once (default: one a processor).")] = None,
    json: Json = False,
) -> None:
    """Ask the vendor's compiler what it takes, and write capability tables of the answers.

    Answers are kept as they come (OUTPUT/answers): the same command goes on where it was interrupted. The tables are
    OUTPUT/<soc>.json; in rknn_ep/partitioning/tables they are what the partitioner reads. With --held-out the shipped tables are
    judged instead: it leaves with 3 where more than 2 % of the configurations go elsewhere than the tables say, or where they
    accept what the compiler refuses.

    Example: `rknn-ep toolkit probe --target rk3588`

    Judged: `rknn-ep toolkit probe --all --held-out 200 --seed 7`
    """
    chosen = _targets(target or [], all_targets)
    if held_out:
        found = [_judge(one, held_out, seed, output, jobs) for one in chosen]
        print_json({"judged": found}) if json else _print_judged(found)
        if any(one["share"] > MOST_DISAGREEMENTS or one["accepted_but_refused"] for one in found):
            raise typer.Exit(EXIT_BELOW)
        return
    written = [_probe(one, ops or [], same_as, sample, seed, output, jobs) for one in chosen]
    print_json({"tables": written}) if json else _print_written(written)


def _targets(names: list[str], every: bool) -> list[Target]:
    if bool(names) == every:
        raise OptionError("probe needs either --target or --all", remedy="rknn-ep toolkit probe --target rk3588")
    manager = plugins()
    return [manager.target(name) for name in (sorted(manager.targets()) if every else dict.fromkeys(names))]


def _probe(
    target: Target, operators: list[str], same_as: str, sample: int, seed: int, output: Path, jobs: int | None
) -> dict[str, Any]:
    import numpy as np

    from rknn_ep_toolkit2.environment import current
    from rknn_ep_toolkit2.probing import tables
    from rknn_ep_toolkit2.probing.catalogue import chosen
    from rknn_ep_toolkit2.probing.survey import Survey

    survey = Survey(output / "answers", jobs)
    configurations = chosen(operators)
    precisions = [one for one in tables.COLUMNS if one in target.precisions]
    version, day = current().version, date.today()
    if not same_as:
        with progress() as show:
            answers = survey.run(configurations, target, precisions, show)
        made = tables.table(target, configurations, answers, version, day, partial=bool(operators))
    else:
        donor = plugins().target(same_as)
        names = sorted(configurations)
        picked = np.random.default_rng(seed).choice(names, min(sample, len(names)), replace=False)
        some = {str(name): configurations[str(name)] for name in picked}
        shared = [one for one in precisions if one in donor.precisions]
        with progress() as show:
            answers, others = survey.run(some, target, shared, show), survey.run(some, donor, shared, show)
        if different := sorted({name for (name, column), answer in answers.items() if not answer.same_as(others[name, column])}):
            raise OptionError(
                f"the compiler does not treat {target.name} as {same_as}: {', '.join(different)}",
                remedy=f"Ask for all of it: rknn-ep toolkit probe --target {target.name}",
            )
        made = tables.same_as(target, same_as, len(answers), version, day)
    units = [answer.unit for answer in answers.values()]
    return {
        "target": target.name,
        "table": tables.write(made, output),
        "asked": len(answers),
        "answers": {unit: units.count(unit) for unit in sorted(set(units))},
    }


def _judge(target: Target, count: int, seed: int, output: Path, jobs: int | None) -> dict[str, Any]:
    from rknn_ep_toolkit2.probing.judging import judge_drawn
    from rknn_ep_toolkit2.probing.survey import Survey

    with progress() as show:
        return judge_drawn(target, count, seed, Survey(output / "answers", jobs), show).to_dict()


def _print_written(written: list[dict[str, Any]]) -> None:
    for one in written:
        counts = ", ".join(f"{number} {unit}" for unit, number in one["answers"].items())
        stdout().print(f"{one['table']}: {one['asked']} questions: {counts}", markup=False, soft_wrap=True)


def _print_judged(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    console = stdout()
    table = Table("SoC", "seed", "configurations", "disagreements", "share", "accepted, refused", box=None, header_style="bold")
    for one in found:
        figures = (one["seed"], one["configurations"], one["disagreements"], f"{one['share']:.1%}", one["accepted_but_refused"])
        table.add_row(one["target"], *map(str, figures))
    console.print(table)
    for one in found:
        for case in one["disagreeing"]:
            compiler = case["compiler"]
            console.print(
                f"{one['target']} {case['name']} {case['precision']}: the table says {case['verdict']} ({case['detail']}), "
                f"the compiler {compiler['unit']} {' '.join(compiler.get('native', ()))} {compiler.get('why', '')}".rstrip(),
                markup=False,
                soft_wrap=True,
            )
