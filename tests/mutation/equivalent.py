"""Mutants that no test can kill, each with the reason why it behaves as the original does."""

from typing import Final

#: The module, the line and the change, and why nothing is different.
EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {
    (
        "codec/_structure.py",
        "_FAST: Final = _row_readers(detailed_validation=False)",
        "False to True",
    ): "What these readers raise is read again by others; they are only faster.",
    (
        "signing/_credentials.py",
        'return f"key:{hashlib.blake2b(api_key.encode(), digest_size=16).hexdigest()}"',
        "16 to 17",
    ): "A hash of another length names a key as well.",
    (
        "signing/_redaction.py",
        "runs = groupby(zip(text, hidden, strict=True), key=itemgetter(1))",
        "True to False",
    ): "Both are of one length, by construction.",
}
