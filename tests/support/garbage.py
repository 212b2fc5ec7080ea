"""Content that no server should send, and mutations of what it should."""

import json

from hypothesis import strategies as st

from tests.support.scripted import GOOD, ROW

ANSWER = {"code": "0", "msg": "", "data": [ROW]}


MEBIBYTE = 1024 * 1024


STRANGE: list[object] = [None, True, False, 0, -1, 1.5, 10**30, "", "x", "\ud800", "\0", [], [[]], {}, {"amt": "1"}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(STRANGE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from([*ROW, *ANSWER]), inner),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, good: bytes = GOOD) -> bytes:
    """Return a good response in which pieces were cut out, doubled, or put in."""
    body = good
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
        piece = draw(st.sampled_from([b"", body[start:end] * 2, b'"', b":", b"\\", b"\0", b"0", b"{", b"]", b"\xff"]))
        body = body[:start] + piece + body[end:] if draw(st.booleans()) else body[:start] + piece + body[start:]
    return body


bodies = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()) | mutated()
