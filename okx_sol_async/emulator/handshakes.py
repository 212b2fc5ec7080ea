"""TLS for an exchange: its certificates, and the handshakes that go wrong.

The certificates are made once and for all, because making them takes a library that nobody else needs. Each signs
itself, with the private key 1, so that nobody takes it for a secret.
"""

from __future__ import annotations

import base64
import functools
import ssl
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

#: What may be wrong with a certificate.
Wrong = Literal["untrusted", "ended", "of another host"]
#: What a handshake shows: the right certificate, a wrong one, or nothing, because it is broken off.
Shown = Literal["right", "nothing"] | Wrong

# As `cryptography` makes them: ECDSA with P-256, for localhost, 127.0.0.1 and ::1 from 2020 to 2120. That which has
# ended did so in 2021, and that of another host is for okx.example.
_CERTIFICATES: Final[dict[Shown, str]] = {
    "right": (
        "MIIBxTCCAWqgAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxva3gtZW11bGF0b3IwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEw"
        "MDAwMDBaMBcxFTATBgNVBAMMDG9reC1lbXVsYXRvcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGsX0fLhLEJH+Lzm5WOkQPJ3A32BLesz"
        "oPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfWjgaQwgaEwLAYDVR0RBCUwI4IJbG9jYWxob3N0hwR/AAABhxAAAAAA"
        "AAAAAAAAAAAAAAABMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBS0Z6OZnrXv"
        "pnHeADLwipyeXv2g4TAfBgNVHSMEGDAWgBS0Z6OZnrXvpnHeADLwipyeXv2g4TAKBggqhkjOPQQDAgNJADBGAiEAww9CHtI3y1acmkDHEX2u"
        "wq7g36lQdJkwsJPjVP5tJyICIQDIf9gMkCcBIuukRLhHZmaiM+UABFSotUbZVWAZUEXHCw=="
    ),
    "untrusted": (
        "MIIB6jCCAZCgAwIBAgIBBDAKBggqhkjOPQQDAjAqMSgwJgYDVQQDDB9va3gtZW11bGF0b3IgdGhhdCBub2JvZHkgdHJ1c3RzMCAXDTIwMDEw"
        "MTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAqMSgwJgYDVQQDDB9va3gtZW11bGF0b3IgdGhhdCBub2JvZHkgdHJ1c3RzMFkwEwYHKoZIzj0C"
        "AQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9aOB"
        "pDCBoTAsBgNVHREEJTAjgglsb2NhbGhvc3SHBH8AAAGHEAAAAAAAAAAAAAAAAAAAAAEwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4Aw"
        "EwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFLRno5mete+mcd4AMvCKnJ5e/aDhMB8GA1UdIwQYMBaAFLRno5mete+mcd4AMvCKnJ5e"
        "/aDhMAoGCCqGSM49BAMCA0gAMEUCICKLOQEgLTsIvXEFJj2J9OU1ZbScjl0DsGLxww1HHwDrAiEAi4PRMcWli4Rh8168M+tvZrO/80hsy7vw"
        "KHq6JNviCVM="
    ),
    "ended": (
        "MIIB4DCCAYagAwIBAgIBAjAKBggqhkjOPQQDAjAmMSQwIgYDVQQDDBtva3gtZW11bGF0b3IgdGhhdCBoYXMgZW5kZWQwHhcNMjAwMTAxMDAw"
        "MDAwWhcNMjEwMTAxMDAwMDAwWjAmMSQwIgYDVQQDDBtva3gtZW11bGF0b3IgdGhhdCBoYXMgZW5kZWQwWTATBgcqhkjOPQIBBggqhkjOPQMB"
        "BwNCAARrF9Hy4SxCR/i85uVjpEDydwN9gS3rM6D0oTlF2JjClk/jQuL+Gn+bjufrSnwPnhYrzjNXazFezsu2QGg3v1H1o4GkMIGhMCwGA1Ud"
        "EQQlMCOCCWxvY2FsaG9zdIcEfwAAAYcQAAAAAAAAAAAAAAAAAAAAATAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDATBgNVHSUEDDAK"
        "BggrBgEFBQcDATAdBgNVHQ4EFgQUtGejmZ6176Zx3gAy8Iqcnl79oOEwHwYDVR0jBBgwFoAUtGejmZ6176Zx3gAy8Iqcnl79oOEwCgYIKoZI"
        "zj0EAwIDSAAwRQIgeKtWQ4rx/roSs9IMJZ9Ig0DGnyDdfJhVgHNEMZ5eJFMCIQDtcSPPMo/f30YshwJP/NfVZCWIvTeovaSJy4kGxyRoQA=="
    ),
    "of another host": (
        "MIIBzjCCAXSgAwIBAgIBAzAKBggqhkjOPQQDAjAnMSUwIwYDVQQDDBxva3gtZW11bGF0b3Igb2YgYW5vdGhlciBob3N0MCAXDTIwMDEwMTAw"
        "MDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAnMSUwIwYDVQQDDBxva3gtZW11bGF0b3Igb2YgYW5vdGhlciBob3N0MFkwEwYHKoZIzj0CAQYIKoZI"
        "zj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9aOBjjCBizAW"
        "BgNVHREEDzANggtva3guZXhhbXBsZTAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDATAdBgNVHQ4E"
        "FgQUtGejmZ6176Zx3gAy8Iqcnl79oOEwHwYDVR0jBBgwFoAUtGejmZ6176Zx3gAy8Iqcnl79oOEwCgYIKoZIzj0EAwIDSAAwRQIgTnGkmXBZ"
        "37TWHSUq5z0dqEow3pNaDcFHfAqxdV+QJTACIQDuBQgPWYWY4QQE8cBsRDLltvU4Q1xfbgx/VMZA6AccMA=="
    ),
}
_KEY: Final = (
    "MHcCAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABoAoGCCqGSM49AwEHoUQDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg"
    "9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
)
#: What a client that trusts the exchange trusts, as PEM: all but what nobody trusts.
TRUSTED: Final = "".join(
    ssl.DER_cert_to_PEM_cert(base64.b64decode(certificate))
    for shown, certificate in _CERTIFICATES.items()
    if shown != "untrusted"
)


def context_of(show: Callable[[], Shown]) -> ssl.SSLContext:
    """Return the context of a server that asks with each handshake what it shall show."""

    def answer(hello: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        del name, context
        shown = show()
        if shown == "nothing":
            # asyncio ends the connection then, without a word to the client.
            return ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        if shown != "right":
            hello.context = _showing(shown)
        return None

    context = _new_context("right")
    context.sni_callback = answer
    return context


@functools.cache
def _showing(shown: Shown) -> ssl.SSLContext:
    return _new_context(shown)


def _new_context(shown: Shown) -> ssl.SSLContext:
    certificate = ssl.DER_cert_to_PEM_cert(base64.b64decode(_CERTIFICATES[shown]))
    # In two halves, because who searches texts for private keys would find one.
    kind = "EC PRIVATE " + "KEY"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with TemporaryDirectory() as folder:
        # Python's ssl reads files only.
        file = Path(folder, "certificate.pem")
        file.write_text(f"{certificate}-----BEGIN {kind}-----\n{_KEY}\n-----END {kind}-----\n", encoding="ascii")
        context.load_cert_chain(file)
    return context
