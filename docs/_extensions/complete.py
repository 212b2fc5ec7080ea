"""A public name or field without an entry in the reference is a warning, and so fails the build."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import attrs
from sphinx.util import logging

import okx_sol_async
from okx_sol_async import emulator, redis
from okx_sol_async.emulator import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_MODULES = (okx_sol_async, emulator, faults, redis)
logger = logging.getLogger(__name__)


def public_names() -> Iterator[str]:
    """Give the names that the modules offer, and the fields and members of their classes."""
    for module in _MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if name == "__version__" or inspect.ismodule(value):
                continue
            yield f"{module.__name__}.{name}"
            if (
                not inspect.isclass(value)
                or value.__module__.partition(".")[0] != okx_sol_async.__name__
            ):
                continue
            fields = (
                [field.name for field in attrs.fields(value) if not field.inherited]
                if attrs.has(value)
                else []
            )
            members = [
                *fields,
                *getattr(value, "__members__", ()),
                *getattr(value, "_fields", ()),
            ]
            yield from (
                f"{module.__name__}.{name}.{member}"
                for member in members
                if not member.startswith("_")
            )


def find_missing(app: Sphinx, env: BuildEnvironment) -> None:
    """Compare them with what the pages describe."""
    if app.builder.format != "html":
        return
    described = {
        name.rpartition("okx_sol_async")[2] for name in env.domaindata["py"]["objects"]
    }
    described |= {_short(name) for name in described}
    for name in public_names():
        if _short(name.rpartition("okx_sol_async")[2]) not in described:
            logger.warning("the reference does not describe %s", name)


def _short(name: str) -> str:
    """Return a name without its modules: a class is described where it is defined or where it is imported from."""
    return ".".join(
        part
        for part in name.split(".")
        if part[:1].isupper() or part == name.rpartition(".")[2]
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("env-check-consistency", find_missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
