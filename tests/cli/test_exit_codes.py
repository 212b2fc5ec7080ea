"""The exit codes."""

from okx_sol_async import errors
from okx_sol_async.cli._exit_codes import EXIT_CODES
from okx_sol_async.errors import APIError, OKXError


def test_each_kind_of_error_has_an_exit_code_of_its_own() -> None:
    """A script can distinguish them."""
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OKXError)}

    assert kinds - {OKXError, APIError} == set(EXIT_CODES)
    assert len(EXIT_CODES) == len(set(EXIT_CODES.values()))
    assert not {0, 1, 130} & set(EXIT_CODES.values())
