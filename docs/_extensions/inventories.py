"""Writes the inventories of intersphinx, so that a build needs no network: ``python docs/_extensions/inventories.py``.

They hold the names that these pages link to, and no others.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "inventories"
#: Project and version, then the names by kind: each with the page that it is on.
PYTHON: Final = {
    "py:class": {
        "library/asyncio-task.html": ["asyncio.Task", "asyncio.TaskGroup"],
        "library/collections.abc.html": [
            f"collections.abc.{name}"
            for name in ["AsyncGenerator", "AsyncIterator", "Awaitable", "Callable", "Collection", "Coroutine", "Hashable", "Iterable", "Iterator", "Mapping", "Sequence"]
        ],
        "library/datetime.html": ["datetime.datetime", "datetime.date", "datetime.timedelta"],
        "library/decimal.html": ["decimal.Decimal"],
        "library/enum.html": ["enum.Enum", "enum.IntEnum", "enum.StrEnum"],
        "library/functions.html": ["bool", "bytearray", "float", "int", "object", "property", "type"],
        "library/logging.html": ["logging.Logger", "logging.LogRecord"],
        "library/pathlib.html": ["pathlib.Path"],
        "library/ssl.html": ["ssl.SSLContext"],
        "library/stdtypes.html": ["bytes", "dict", "frozenset", "list", "set", "str", "tuple"],
        "library/typing.html": ["typing.Generic", "typing.NamedTuple", "typing.Protocol"],
        "library/os.html": ["os.PathLike"],
    },
    "py:data": {
        "library/typing.html": ["typing.Any", "typing.Literal", "typing.Optional", "typing.Self", "typing.Union"],
        "library/constants.html": ["None", "True", "False"],
    },
    "py:exception": {
        "library/exceptions.html": [
            "BaseException", "Exception", "LookupError", "OSError", "RuntimeError", "StopAsyncIteration",
            "TimeoutError", "TypeError", "ValueError", "Warning",
        ],
        "library/asyncio-exceptions.html": ["asyncio.CancelledError"],
    },
    "py:function": {
        "library/asyncio-runner.html": ["asyncio.run"],
        "library/asyncio-task.html": ["asyncio.gather", "asyncio.sleep", "asyncio.timeout"],
        "library/gc.html": ["gc.freeze"],
    },
}  # fmt: skip
AIOHTTP: Final = {
    "py:class": {
        "client_reference.html": [
            "aiohttp.ClientSession",
            "aiohttp.ClientResponse",
            "aiohttp.TCPConnector",
        ],
        "web_reference.html": ["aiohttp.web.Application"],
    },
}


def inventory(
    project: str, version: str, names: dict[str, dict[str, list[str]]]
) -> bytes:
    """Return an inventory in the second version of Sphinx's format."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: {version}\n"
    lines = [
        f"{name} {kind} 1 {page}#$ -\n"
        for kind, pages in names.items()
        for page, found in pages.items()
        for name in found
    ]
    head += "# The remainder of this file is compressed using zlib.\n"
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    """Write both."""
    (FOLDER / "python.inv").write_bytes(inventory("Python", "3", PYTHON))
    (FOLDER / "aiohttp.inv").write_bytes(inventory("aiohttp", "3", AIOHTTP))


if __name__ == "__main__":
    main()
