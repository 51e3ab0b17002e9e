"""How much each caller may ask for in a minute: requests, and tokens read and written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from prometheus_client import CollectorRegistry, Counter

from chidu.serving.answers import RequestError
from chidu.serving.settings import ServerSettings

__all__ = ["Rates", "Visit"]


class Rates:
    """Counts what each caller has asked for in the minute that began with its first request."""

    def __init__(self, settings: ServerSettings, registry: CollectorRegistry) -> None:
        store = MemoryStorage()
        self.requests = _Rate("requests", settings.requests_per_minute, store)
        self.tokens = _Rate("tokens", settings.tokens_per_minute, store)
        self.counted_requests = Counter("chidu_caller_requests", "Requests let in", ["caller"], registry=registry)
        self.counted_tokens = Counter("chidu_caller_tokens", "Tokens read and written", ["caller"], registry=registry)

    def enter(self, caller: str) -> Visit:
        """Let a request in. Raises RequestError (429) where the caller has had its share of this minute."""
        self.requests.take(caller, 1)
        self.counted_requests.labels(caller).inc()
        return Visit(self, caller)


class Visit:
    """One request of one caller, as long as it is answered."""

    def __init__(self, rates: Rates, caller: str) -> None:
        self.rates, self.caller = rates, caller
        self._reserved, self._until = 0, 0.0
        self._used: Callable[[], int] = int

    def reserve(self, tokens: int, used: Callable[[], int]) -> None:
        """Set so many tokens aside; `used` tells at the end how many were needed.

        Raises RequestError (429) where the caller has not so many left in this minute.
        """
        self._until = self.rates.tokens.take(self.caller, tokens)
        self._reserved, self._used = tokens, used

    def end(self) -> None:
        """Give back what was set aside and not used, or count what was needed beyond it."""
        used = self._used()
        self.rates.counted_tokens.labels(self.caller).inc(used)
        self.rates.tokens.settle(self.caller, used - self._reserved, self._until)

    def headers(self) -> dict[bytes, bytes]:
        """Return OpenAI's headers: for each limit that is set, how much is left and when the minute ends."""
        return self.rates.requests.headers(self.caller) | self.rates.tokens.headers(self.caller)


class _Rate:
    """So much of one thing in a minute; 0 is no limit."""

    def __init__(self, thing: str, most: int, store: MemoryStorage) -> None:
        self.thing, self.most, self._store = thing, most, store
        self._item = RateLimitItemPerMinute(max(1, most))
        self._window = FixedWindowRateLimiter(store)

    def take(self, caller: str, amount: int) -> float:
        """Take so much, and return when the minute ends (s since the epoch). Raises RequestError (429)."""
        if not self.most:
            return 0.0
        if amount > self.most:
            raise RequestError(
                429,
                f"this request may need {amount} {self.thing}; a minute has {self.most}: ask for less (max_tokens)",
                code="request_too_large",
            )
        # A hit that is refused would count: so it is tested first. No other request comes between, in one event loop.
        if not self._window.test(self._item, self.thing, caller, cost=amount):
            seconds = max(1, math.ceil(self._ends(caller) - time.time()))
            raise RequestError(
                429,
                f"{caller} has {self._left(caller)} of {self.most} {self.thing} left in this minute, and this needs "
                f"{amount}: try again in {seconds} s",
                code="rate_limit_exceeded",
                headers={"Retry-After": str(seconds)},
            )
        self._window.hit(self._item, self.thing, caller, cost=amount)
        return self._ends(caller)

    def settle(self, caller: str, more: int, until: float) -> None:
        """Count so much more, or less, in the minute in which it was begun, where that still runs."""
        if not self.most or self._ends(caller) != until:
            return
        if more > 0:
            self._window.hit(self._item, self.thing, caller, cost=more)
        elif more < 0:
            self._store.decr(self._item.key_for(self.thing, caller), -more)

    def headers(self, caller: str) -> dict[bytes, bytes]:
        """Return what is said of this limit."""
        if not self.most:
            return {}
        said = {
            "limit": str(self.most),
            "remaining": str(self._left(caller)),
            "reset": f"{max(0.0, self._ends(caller) - time.time()):.3f}s",
        }
        return {f"x-ratelimit-{name}-{self.thing}".encode(): value.encode() for name, value in said.items()}

    def _left(self, caller: str) -> int:
        return self._window.get_window_stats(self._item, self.thing, caller).remaining

    def _ends(self, caller: str) -> float:
        return float(self._store.get_expiry(self._item.key_for(self.thing, caller)))
