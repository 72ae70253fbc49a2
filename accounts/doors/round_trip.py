"""What this browser was sent to a provider with, until it comes back: in a signed cookie, for ten minutes.

It is no session: somebody who is about to sign in has none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE: Final = "left4me_door"
_SALT: Final = "accounts.door"
_SECONDS: Final = 10 * 60


@dataclass(frozen=True)
class Trip:
    """`linking` is the id of the user who links the door to an account; 0 to sign in. `memory` is the door's own."""

    door: str
    linking: int
    target: str
    memory: dict[str, str]


def begin(response: HttpResponse, trip: Trip) -> None:
    response.set_cookie(
        COOKIE,
        signing.dumps(asdict(trip), salt=_SALT),
        max_age=_SECONDS,
        httponly=True,
        # Lax: the provider sends the browser back from another site.
        samesite="Lax",
        secure=settings.LEFT4ME_BEHIND_TLS,
    )


def end(response: HttpResponse) -> None:
    response.delete_cookie(COOKIE, samesite="Lax")


def of(request: HttpRequest, door: str) -> Trip | None:
    """The trip to this door that the browser comes back from; None if there is none, or if it took too long."""
    try:
        trip = Trip(**signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_SECONDS))
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return trip if trip.door == door else None
