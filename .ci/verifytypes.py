"""See that all names of the installed package have types that every type checker infers alike.

It looks for an installed package, so it runs where the wheel is installed, and outside of the project's folder.
"""

import json
import subprocess
import sys
import tempfile

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
sys.exit(score < 1)
