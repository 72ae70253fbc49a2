"""How many wrong passwords are too many, without giving anybody a way to lock somebody else out.

Four windows of a quarter of an hour, each counted before the password is looked at, so that simultaneous tries
cannot slip through:

- one address, whatever names it tries;
- one name from one address: the usual guesser and the usual typo;
- one name from everywhere. An account under attack from many addresses is not closed; each address that is not
  known is left with one try in a quarter of an hour. The owner at a new place still gets in with the right
  password at the first try, while an attacker needs a new address for each guess;
- one known device. A browser that signed in to this account before carries a signed cookie and is counted by
  itself: what others do, even from the same address, does not touch it. It is not beyond limits, since a cookie
  can be stolen.

A window ends by itself and is not prolonged by further tries, so no lock lasts longer than it.
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
PASSWORD = Limit("password-change", 10, _WINDOW)


@dataclass(frozen=True)
class Attempt:
    """One try to sign in. `device` is the known device's mark, "" when it is not known for this name."""

    name: str
    address: str
    device: str = ""

    def begin(self) -> None:
        """Count this try; raises RateLimited if it may not be made."""
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
        """Start anew for this name here. The address goes on counting: it may be trying other names."""
        rate_limit.forget([(DEVICE, self.device)] if self.device else self._windows()[1:2])

    def _windows(self) -> list[tuple[Limit, str]]:
        where = network(self.address)
        who = self.name.casefold()
        return [(ADDRESS, where), (NAME_AT_ADDRESS, f"{who}\n{where}"), (NAME, who)]
