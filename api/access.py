"""Who may call: keys with scopes and limits. A refusal says nothing about which keys there are."""

import threading
import time
from collections.abc import Awaitable, Callable

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import ApiError
from api.gathered import Gathered
from db.keys import ApiKey, ApiKeys, Scope

bearer = HTTPBearer(auto_error=False, description="A key made with `python cli.py keys create`.")


class Limits:
    """A bucket of requests a key, refilled evenly over the minute. Held in this process: each has its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[int, tuple[float, float]] = {}  # key id: requests left, and when that was counted

    def take(self, key: ApiKey) -> float:
        """Take one request; 0 where it may go on, or else the seconds to wait."""
        now, rate = self._clock(), key.per_minute / 60
        with self._lock:
            left, then = self._left.get(key.id, (float(key.per_minute), now))
            left = min(float(key.per_minute), left + (now - then) * rate)
            if left < 1:
                self._left[key.id] = left, now
                return (1 - left) / rate
            self._left[key.id] = left - 1, now
        return 0.0


class Access:
    """Lets a request through for a scope."""

    def __init__(self, keys: ApiKeys, limits: Limits) -> None:
        self._limits = limits
        self._find: Gathered[str, ApiKey | None] = Gathered(keys.find_all)

    async def check(self, text: str | None, scope: Scope) -> ApiKey:
        """The key of a request, as it is now. Raises ApiError 401, 403 or 429."""
        key = await self._find(text) if text else None
        if key is None:
            raise ApiError(
                401, "This needs a valid API key: 'Authorization: Bearer KEY'. Make one with `python cli.py keys`.",
                "invalid_api_key", headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        if scope not in key.scopes:
            raise ApiError(403, f"This key is not for '{scope}'.", "missing_scope")
        if wait := self._limits.take(key):
            raise ApiError(
                429, f"This key's limit of {key.per_minute} requests a minute is reached. Wait {wait:.1f} seconds.",
                "rate_limit_exceeded", headers={"Retry-After": str(int(wait) + 1)},
            )  # fmt: skip
        return key


def allowed(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    """A dependency: the key of the request, for this scope."""

    async def key(
        request: Request,
        given: HTTPAuthorizationCredentials | None = Depends(bearer),  # noqa: B008  FastAPI's way
    ) -> ApiKey:
        access: Access = (await request.app.state.started()).access
        return await access.check(given.credentials if given else None, scope)

    return key
