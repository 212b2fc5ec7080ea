"""Where a response of another exchange has another shape than the emulator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

#: The names of JSON's types.
_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


def differences(theirs: object, ours: object, at: str = "") -> Iterator[str]:
    """Give a line for each field that only one of two JSON values has, or that differs in type.

    Of an array the first elements are compared. Values are not compared.
    """
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in [*theirs, *(name for name in ours if name not in theirs)]:
            path = f"{at}.{name}" if at else str(name)
            if name not in ours:
                yield f"{path}: only upstream"
            elif name not in theirs:
                yield f"{path}: only in the emulator"
            else:
                yield from differences(theirs[name], ours[name], path)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs and ours:
            yield from differences(theirs[0], ours[0], f"{at}[0]")
    elif _kind(theirs) != _kind(ours):
        yield f"{at}: {_kind(theirs)} upstream, {_kind(ours)} in the emulator"


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "null")
