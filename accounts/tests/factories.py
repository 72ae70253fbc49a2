"""Rows of accounts for tests of all apps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import Aaguid, AttestedCredentialData

from accounts import actions
from accounts.models import Passkey, User


def make_token(user: User, *, scope: str = "operate", lifetime: timedelta | None = None) -> str:
    """A token's key."""
    return actions.create_token(user=user, name="test", scope=scope, by=user, lifetime=lifetime)[1]


def make_passkey(user: User, *, name: str = "Phone") -> Passkey:
    """A passkey whose private key nobody has."""
    key = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    credential = AttestedCredentialData.create(Aaguid.NONE, f"id of {user.pk} {name}".encode(), key)
    return Passkey.objects.create(
        user=user, name=name, digest=f"digest of {user.pk} {name}", credential=bytes(credential)
    )


def bearer(key: str) -> dict[str, Any]:
    """Headers of a request with this token: `client.get(url, headers=bearer(key))`."""
    return {"Authorization": f"Bearer {key}"}
