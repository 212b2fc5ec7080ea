"""Run the tests over mutants of the package, and exit with 1 when one survives that is not known to be equivalent.

`python -m tests.mutation codec/_envelope.py ratelimit/_window.py` mutates two modules, `python -m tests.mutation` all of
signing, codec, ratelimit, transport and staking; `--sample 100 --seed 1` a hundred mutants of them, chosen by that seed.
First it finds which lines each test runs. Each mutant then has a process of its own, which runs the tests that reach it
until one fails. `--record` writes the outcome of each whole module to `outcomes.json`, and `--continue` leaves out the
modules that are there and have not changed since.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.mutation import outcomes
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.reached import FOLDERS, PACKAGE
from tests.mutation.running import Runner, measure


def run(mutants: Sequence[Mutant], jobs: int, seconds: float) -> Iterator[tuple[Mutant, bool]]:
    """Give each mutant and whether all tests pass over it, as that is found."""
    reading, writing = os.pipe()
    for start in range(jobs):
        if not os.fork():
            try:
                runner = Runner(mutants, seconds)
                for number in range(start, len(mutants), jobs):
                    os.write(writing, f"{number} {runner.outcome(number)}\n".encode())
            except BaseException:  # noqa: BLE001 - this process must not go on as the one that it was forked from
                traceback.print_exc()
            os._exit(0)
    os.close(writing)
    done = 0
    with os.fdopen(reading) as lines:
        for done, line in enumerate(lines, 1):
            number, _, outcome = line.strip().partition(" ")
            print(f"{done}/{len(mutants)} {mutants[int(number)]}  {outcome}", flush=True)
            yield mutants[int(number)], not outcome.startswith("killed")
    if done < len(mutants):
        message = "A process that runs mutants has ended."
        raise SystemExit(message)


def chosen(paths: Sequence[str], sample: int | None, seed: int) -> list[Mutant]:
    """Return the mutants of the modules, or a sample of them."""
    named = [PACKAGE / path for path in paths or FOLDERS]
    modules = [path for given in named for path in (sorted(given.rglob("*.py")) if given.is_dir() else [given])]
    found = [path.relative_to(PACKAGE) for path in modules]
    mutants = [
        mutant for path in found for mutant in mutants_of(str(path), (PACKAGE / path).read_text(encoding="utf-8"))
    ]
    return mutants if sample is None else random.Random(seed).sample(mutants, min(sample, len(mutants)))


def main() -> int:
    """Run the tests over the mutants, and print the survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="path", help="modules or folders, from the folder of the package")
    parser.add_argument("--sample", type=int, help="how many mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--seconds", type=float, default=30, help="how long the tests of one mutant may take together")
    parser.add_argument("--record", action="store_true", help="write the outcome of each module to outcomes.json")
    parser.add_argument("--survivors", action="store_true", help="run only those recorded there as survivors")
    parser.add_argument("--continue", action="store_true", dest="go_on", help="leave out the modules recorded there")
    arguments = parser.parse_args()
    mutants = chosen(arguments.paths, arguments.sample, arguments.seed)
    if arguments.go_on or arguments.survivors:
        recorded = outcomes.up_to_date(PACKAGE)
        mutants = [mutant for mutant in mutants if (mutant.path in recorded) is arguments.survivors]
    known = [mutant for mutant in mutants if (mutant.path, mutant.text, mutant.change) in EQUIVALENT]
    to_run = [mutant for mutant in mutants if mutant not in known]
    if arguments.survivors:
        to_run = [mutant for mutant in to_run if outcomes.shown(mutant) in outcomes.survived(mutant.path)]
    alive: list[Mutant] = []
    left = Counter(mutant.path for mutant in to_run)
    with tempfile.TemporaryDirectory() as folder:
        # What the servers of tests leave, which end with their process.
        os.environ["TMPDIR"] = folder
        print("Finding what each test runs.", flush=True)
        measure()
        for mutant, survived in run(to_run, arguments.jobs, arguments.seconds):
            if survived:
                alive.append(mutant)
            left[mutant.path] -= 1
            if arguments.record and not left[mutant.path]:
                outcomes.record(PACKAGE, mutant.path, mutants, known, alive)
    for path in {mutant.path for mutant in mutants if arguments.record} - {*left}:
        outcomes.record(PACKAGE, path, mutants, known, alive)
    print(f"{len(mutants)} mutants, {len(known)} of them known to be equivalent; {len(alive)} survived:")
    for mutant in alive:
        print(mutant)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
