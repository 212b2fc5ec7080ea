"""SOL staking as one user sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from okx_sol_async.endpoints import BALANCE
from okx_sol_async.session import Session
from okx_sol_async.signing import Credentials

if TYPE_CHECKING:
    from types import TracebackType

    from okx_sol_async.models import Balance


class SolStaking:
    """OKX's SOL staking for one user.

    Args:
        credentials: the user's key.
        session: the session to call through; a service gives all its users the same one. `None`: one is made with
            its defaults, and closed with this object.

    Use it as an async context manager, or call `aclose` at the end.
    """

    __slots__ = ("__weakref__", "_credentials", "_owns_session", "_session")

    def __init__(self, credentials: Credentials, session: Session | None = None) -> None:
        self._credentials = credentials
        self._owns_session = session is None
        self._session = Session() if session is None else session

    @classmethod
    def from_env(cls) -> SolStaking:
        """Make one, with a session of its own, from the environment.

        It reads what `Credentials.from_env` and `Session.from_env` read: ``OKX_API_KEY``, ``OKX_SECRET_KEY``,
        ``OKX_PASSPHRASE``, ``OKX_USER_ID``, ``OKX_REGION``, ``OKX_BASE_URL`` and ``OKX_DEMO``.

        Raises:
            ConfigurationError: a variable is missing or has a value that it cannot have; the message names it.

        """
        credentials = Credentials.from_env()
        staking = cls(credentials, Session.from_env())
        staking._owns_session = True
        return staking

    def __repr__(self) -> str:
        return f"<SolStaking {self._credentials!r} on {self._session!r}>"

    async def __aenter__(self) -> Self:
        """Return the object itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session if it was made here. Closing again does nothing."""
        if self._owns_session:
            await self._session.aclose()

    async def identify(self) -> str:
        """Look up the User ID, and let this key share the limits of its user's other keys.

        Returns:
            the User ID, which is the ``user_id`` of this object's calls from now on.

        Raises:
            OKXError: as `balance` does.

        See `Session.identify`.

        """
        self._credentials = await self._session.identify(self._credentials)
        return str(self._credentials.user_id)

    async def balance(self) -> Balance:
        """Return the OKSOL that the account holds, and its interest.

        The amounts are in OKSOL, exact. An account that never staked has a balance of zero.

        Raises:
            ConfigurationError: the session is closed or another event loop's; nothing was sent.
            Timeout: no whole answer within ``timeout``, or no turn within ``max_wait``.
            TransportError: no whole answer came.
            DecodeError: an answer came and is not OKX's.
            APIError: OKX refused: `AuthenticationError`, `PermissionDenied`, `ClockSkew`, `RateLimited`,
                `Unavailable` or `Rejected`.

        `OKX: GET / Balance <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-balance>`_
        (Read permission, 6 requests a second per user).
        """
        return await self._session.call(BALANCE, self._credentials)
