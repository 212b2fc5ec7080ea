"""Write each ```sh block of a page into a file of its own, in order."""

import re
import sys
from pathlib import Path

page, folder = Path(sys.argv[1]), Path(sys.argv[2])
folder.mkdir(parents=True)
blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
for number, block in enumerate(blocks):
    (folder / f"{number}.sh").write_text(block)
