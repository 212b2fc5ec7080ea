"""See that the installed package exports what docs/api.md lists, with types that every type checker infers alike.

It looks for an installed package, so it runs where the wheel is installed, and outside of the project's folder.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# A hook of pytest's, and the module of the faults, which has a page of its own.
UNLISTED = {"pytest_configure", "faults", "__version__"}
LISTED = set(re.findall(r"`(\w+)`", Path(__file__).parents[1].joinpath("docs/api.md").read_text(encoding="utf-8")))

with tempfile.TemporaryDirectory() as elsewhere:
    done = subprocess.run(
        ["basedpyright", "--verifytypes", "okx_sol_async", "--ignoreexternal", "--outputjson"],  # noqa: S607
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
found = json.loads(done.stdout)["typeCompleteness"]
counts, score = found["exportedSymbolCounts"], found["completenessScore"]
print(f"basedpyright --verifytypes: {score:.1%} of {sum(counts.values())} symbols, {counts}")  # noqa: T201
for symbol in found["symbols"]:
    if symbol["isExported"] and not symbol["isTypeKnown"]:
        print(f"  {symbol['name']}")  # noqa: T201
modules = {module["name"] for module in found["modules"]}
exported = {
    symbol["name"].rpartition(".")[2]
    for symbol in found["symbols"]
    if symbol["isExported"] and symbol["name"].rpartition(".")[0] in modules
}
for name in sorted(exported - LISTED - UNLISTED):
    print(f"  {name} is exported, and docs/api.md does not list it")  # noqa: T201
sys.exit(score < 1 or not exported <= LISTED | UNLISTED)
