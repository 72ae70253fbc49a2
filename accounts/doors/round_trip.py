"""What this browser was sent to a provider with, until it comes back: in a signed cookie, for ten minutes.

It is no session: somebody who is about to sign in has none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse

from accounts.browsers import SignedCookie

# Lax: the provider sends the browser back from another site.
_COOKIE: Final = SignedCookie(name="left4me_door", salt="accounts.door", seconds=10 * 60, same_site="Lax")


@dataclass(frozen=True)
class Trip:
    """`linking` is the id of the user who links the door to an account; 0 to sign in. `memory` is the door's own."""

    door: str
    linking: int
    target: str
    memory: dict[str, str]


def begin(response: HttpResponse, trip: Trip) -> None:
    _COOKIE.put(response, asdict(trip))


def end(response: HttpResponse) -> None:
    _COOKIE.remove(response)


def of(request: HttpRequest, door: str) -> Trip | None:
    """The trip to this door that the browser comes back from; None if there is none, or if it took too long."""
    value = _COOKIE.read(request)
    try:
        trip = Trip(**value) if value is not None else None
    except TypeError:
        # Of another release.
        return None
    return trip if trip is not None and trip.door == door else None
