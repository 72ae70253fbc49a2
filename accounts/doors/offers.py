"""The doors that the settings offer, and which of them a user has linked."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from accounts.models import Identity, User


@dataclass(frozen=True)
class Door:
    """A way to sign in that the settings allow; `link_token` shows that a link to it came from our page."""

    key: str
    name: str
    identity: Identity | None = None
    link_token: str = ""


def offered() -> list[Door]:
    """The doors for the login page."""
    found = []
    if settings.LEFT4ME_OIDC_ISSUER:
        found.append(Door(Identity.Door.OPENID_CONNECT.value, settings.LEFT4ME_OIDC_NAME))
    if settings.LEFT4ME_STEAM_SIGN_IN:
        found.append(Door(Identity.Door.STEAM.value, "Steam"))
    return found


def of_user(request: HttpRequest, user: User) -> list[Door]:
    """The doors with what the user has linked to them; also those that the settings do not allow any more."""
    linked = {identity.door: identity for identity in user.identities.all()}
    found = [Door(door.key, door.name, linked.pop(door.key, None), link_token(request)) for door in offered()]
    return found + [Door(key, str(Identity.Door(key).label), identity) for key, identity in linked.items()]


def link_token(request: HttpRequest) -> str:
    """Known to pages of this session only: what links to a door must come from one of them."""
    return salted_hmac("accounts.link_door", request.session.session_key or "", algorithm="sha256").hexdigest()
