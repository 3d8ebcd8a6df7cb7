"""Run the benchmarks, print their tables and keep everything as JSON.

python -m benchmarks                      all of them
python -m benchmarks overhead partitioning   the named ones
python -m benchmarks --quick              fewer repetitions: to see that they work
python -m benchmarks --list

Every figure is a median, taken in turns with its peer in the same run; CPU time where one thread works, so that other work on
the machine does not count, and elapsed time where several do. Results: benchmarks/results/<time>.json and .md.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.results import Row, markdown, write

BENCHMARKS = (
    "startup",
    "overhead",
    "simulation",
    "session_creation",
    "partitioning",
    "memory",
    "calibration",
    "accuracy",
    "conversion",
    "runtime",
    "simulator_api",
    "toolkit2",
    "quantizers",
    "toolkit_builds",
    "tvm",
)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and leave")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and Markdown")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    if arguments.list:
        for name in BENCHMARKS:
            print(f"{name:18}{(importlib.import_module(f'benchmarks.{name}').__doc__ or '').splitlines()[0]}")
        return 0

    machine = describe_machine()
    print("\n".join(f"{key}: {value}" for key, value in machine.items()), file=sys.stderr)
    rows: list[Row] = []
    failed = []
    started = time.strftime("%Y%m%d-%H%M%S")
    for name in arguments.names or BENCHMARKS:
        print(f"\n{name} ...", file=sys.stderr, flush=True)
        begin = len(rows)
        try:
            for row in importlib.import_module(f"benchmarks.{name}").run(quick=arguments.quick):
                rows.append(row)
                print(f"  {row.case}: {row.measure} {row.text()}", file=sys.stderr, flush=True)
        except Exception:  # noqa: BLE001  one that fails must not cost the others their figures
            failed.append(name)
            traceback.print_exc()
        if rows[begin:]:
            print(f"\n## {name}\n\n{markdown(rows[begin:])}", flush=True)
        write(arguments.results, started, machine, rows, failed)
    print(f"\nwrote {arguments.results / started}.json and .md", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
