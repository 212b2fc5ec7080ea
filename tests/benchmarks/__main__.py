"""Run the benchmarks, all or those that are named, and exit with 1 when one misses a goal."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import (
    away,
    burst,
    clients,
    cpu,
    dashboard,
    elsewhere,
    endurance,
    features,
    imports,
    limits,
    machines,
    memory,
    money,
    months,
    observers,
    pictures,
    pushback,
    pushback_tcp,
    schedules,
    users,
    watched,
)
from tests.benchmarks.report import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.benchmarks.report import Line

BENCHMARKS: Mapping[str, Callable[[], Iterator[Line]]] = {
    "cpu": cpu.run,
    "elsewhere": elsewhere.run,
    "observers": observers.run,
    "memory": memory.run,
    "burst": burst.run,
    "clients": clients.run,
    "features": features.run,
    "imports": imports.run,
    "endurance": endurance.run,
    "limits": limits.run,
    "pushback": pushback.run,
    "pushback-tcp": pushback_tcp.run,
    "users": users.run,
    "machines": machines.run,
    "away": away.run,
    "schedules": schedules.run,
    "simulation": months.run,
    "money": money.run,
    "watched": watched.run,
    "pictures": pictures.run,
    "dashboard": dashboard.run,
}
#: They write into docs/images, or are part of another one, so they run only when they are named.
ONLY_BY_NAME = ("pictures", "dashboard", "away")
#: What these do with ``--full``.
IN_FULL: Mapping[str, Callable[[], Iterator[Line]]] = {
    "limits": partial(limits.run, full=True),
    "schedules": partial(schedules.run, full=True),
    "pushback": partial(pushback.run, full=True),
    "simulation": partial(months.run, full=True),
    "money": partial(money.run, full=True),
    "pushback-tcp": partial(pushback_tcp.run, full=True),
}


def main() -> int:
    """Print the lines of each benchmark, then the goals that were missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"any of {', '.join(BENCHMARKS)}; by default all but {', '.join(ONLY_BY_NAME)}",
    )
    parser.add_argument("--full", action="store_true", help=f"simulate for longer: {', '.join(IN_FULL)}; for minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    arguments = parser.parse_args()
    names = arguments.names or [name for name in BENCHMARKS if name not in ONLY_BY_NAME]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}")
    benchmarks = {**BENCHMARKS, **IN_FULL} if arguments.full else BENCHMARKS
    lines: list[Line] = []
    for name in names:
        for line in benchmarks[name]():
            print(line, flush=True)
            lines.append(line)
    if arguments.json is not None:
        arguments.json.write_text(as_json(lines), encoding="utf-8")
    missed = [line for line in lines if line.missed]
    for line in missed:
        print(f"MISSED   {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
