"""Secrets at rest: sealed with a key made from SECRET_KEY, so that a copy of the database alone reveals none.

Rotation is Django's own: put the old key into SECRET_KEY_FALLBACKS and what it sealed stays readable.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_PASSWORD_CHARACTERS = string.ascii_letters + string.digits


class Unreadable(Exception):
    """What was sealed cannot be opened: SECRET_KEY is another one than when it was written."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret was sealed with another LEFT4ME_SECRET_KEY. Restore the old key, or set the secret anew."
        )


@lru_cache(maxsize=8)
def _keys(secret_keys: tuple[str, ...]) -> MultiFernet:
    digests = (hashlib.sha256(b"left4me.secrets:" + key.encode()).digest() for key in secret_keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def _current() -> MultiFernet:
    return _keys((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def seal(text: str) -> str:
    """Return `text` as it may be stored; the empty text stays empty."""
    return _current().encrypt(text.encode()).decode() if text else ""


def unseal(sealed: str) -> str:
    """Return what `seal` was given; raises Unreadable under another key."""
    if not sealed:
        return ""
    try:
        return _current().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def new_password(length: int = 43) -> str:
    """A random password of letters and digits: 43 of them carry 256 bits and need quoting nowhere."""
    return "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(length))
