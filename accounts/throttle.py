"""Throttling of password attempts that cannot be used to lock another user out.

There are four windows of a quarter of an hour. Attempts are counted before the password is checked, so that
simultaneous attempts are counted too:

- one address, for any username;
- one username from one address: the usual typo and the usual guessing;
- one username from all addresses. An account under attack is not locked, but each unknown address is left with
  one attempt per window. The owner can still sign in from a new place with the right password, while an attacker
  needs a new address for every guess;
- one known browser. A browser that has signed in to this account before has a signed cookie and is counted apart
  from all others, even from the same address. It is limited too, since a cookie can be stolen.

Codes of authenticator apps have windows of their own, for those who know the password already: a known browser is
counted apart, and all other browsers of the world share a few attempts, because six digits are soon guessed from many
addresses. The owner in a new place may have to wait for the end of the window, or uses a recovery code or a passkey,
which cannot be guessed.

Further attempts do not extend a window, so no lock lasts longer than one.
"""

from __future__ import annotations

from dataclasses import dataclass

from left4me.core.net.addresses import network
from left4me.core.redis import rate_limit
from left4me.core.redis.rate_limit import Limit, RateLimited

_WINDOW = 15 * 60
ADDRESS = Limit("login-address", 30, _WINDOW)
NAME_AT_ADDRESS = Limit("login-name-address", 5, _WINDOW)
NAME = Limit("login-name", 50, _WINDOW)
DEVICE = Limit("login-device", 10, _WINDOW)
THROTTLED_ENTRIES = Limit("login-throttled-entries", 1, _WINDOW)
SIGN_UP = Limit("sign-up", 10, 60 * 60)
# Of somebody signed in, to share with: a few are mistyped, many are tried.
UNKNOWN_NAMES = Limit("unknown-names", 30, _WINDOW)
PASSWORD = Limit("password-change", 10, _WINDOW)
CODE = Limit("code", 10, _WINDOW)
CODE_DEVICE = Limit("code-device", 10, _WINDOW)
LONG_CODE = Limit("long-code-address", 30, _WINDOW)


@dataclass(frozen=True)
class Attempt:
    """An attempt to sign in. `device` is the mark of a browser known for this username, else ""."""

    name: str
    address: str
    device: str = ""

    def begin(self) -> None:
        """Count this attempt. Raises RateLimited if it exceeds a limit."""
        if self.device:
            (device,) = rate_limit.add((DEVICE, self.device))
            if device.is_over:
                raise RateLimited(device.wait)
            return
        address, pair, name = rate_limit.add(*self._windows())
        if address.is_over:
            raise RateLimited(address.wait)
        if pair.is_over or (name.is_over and pair.number > 1):
            raise RateLimited(pair.wait)

    def succeeded(self) -> None:
        """Reset the counters of this username here. The address keeps its count: it may be trying other usernames."""
        rate_limit.forget([(DEVICE, self.device)] if self.device else self._windows()[1:2])

    def _windows(self) -> list[tuple[Limit, str]]:
        where = network(self.address)
        who = self.name.casefold()
        return [(ADDRESS, where), (NAME_AT_ADDRESS, f"{who}\n{where}"), (NAME, who)]


@dataclass(frozen=True)
class CodeAttempt:
    """An attempt at the second factor of the user with this id. `device` as for Attempt."""

    user_id: int
    address: str
    device: str = ""

    def begin(self) -> bool:
        """Count this attempt at a short code. Return False if it could not be counted. Raises RateLimited."""
        (count,) = rate_limit.add(self._window())
        if count.is_over:
            raise RateLimited(count.wait)
        return count.number > 0

    def begin_long(self) -> None:
        """Count this attempt at a code that cannot be guessed. Raises RateLimited."""
        rate_limit.enforce(LONG_CODE, network(self.address))

    def succeeded(self) -> None:
        """Reset the counter of a known browser. That of all others gives back this attempt: somebody may guess."""
        if self.device:
            rate_limit.forget([self._window()])
        else:
            rate_limit.give_back(*self._window())

    def _window(self) -> tuple[Limit, str]:
        return (CODE_DEVICE, f"{self.user_id}\n{self.device}") if self.device else (CODE, str(self.user_id))
