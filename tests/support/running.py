"""How the suite runs: on every core, the longest files first, and each page from top to bottom."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Final

import pytest
from hypothesis import given, strategies
from sybil.integration.pytest import SybilItem

#: The files that take longest, by the beginning of their path. They begin first, so that no core waits for one of them.
LONGEST: Final = ("README.md", "docs/", "tests/laws/test_money_page.py", "tests/simulation")

# The run starts about a hundred Pythons. Each of them would compile the package and its tests again where this is set.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is about to happen, because the first result takes a while."""
    workers = config.getoption("numprocesses", None) or 1
    return [
        f"okx-sol-async: the whole suite is about 4,500 tests and takes about two minutes on two cores; workers: {workers}",
        "no account and no network is needed: the calls go to a local exchange. One process: -n 0; some tests: tests/cli",
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, after whatever shuffles them."""
    groups = [list(group) for _, group in groupby(_pages_in_order(items), key=_file)]
    groups.sort(key=lambda group: not _file(group[0]).startswith(LONGEST))
    items[:] = [item for group in groups for item in group]


def pytest_collection_finish() -> None:
    """Leave what exists before the first test to itself: no test makes garbage of it, and many look for garbage."""
    # Hypothesis looks for what refers to its random numbers, and would not see that afterwards.
    given(strategies.none())(lambda _: None)()
    gc.collect()
    gc.freeze()


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _pages_in_order(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Give the items, with the blocks of a page together and in their order: each builds upon those before it."""
    blocks: dict[str, list[pytest.Item]] = {}
    for item in items:
        if isinstance(item, SybilItem):
            blocks.setdefault(_file(item), []).append(item)
    for item in items:
        if isinstance(item, SybilItem):
            yield from sorted(blocks.pop(_file(item), ()), key=lambda block: block.location[1] or 0)
        else:
            yield item
