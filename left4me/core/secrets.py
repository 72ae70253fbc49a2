"""Secrets at rest: sealed with a key that is made from SECRET_KEY, so that a copy of the database alone reveals none.

Another host has to open them too. It gets the sealing key in LEFT4ME_SEALING_KEY, from which the secret key cannot be
made. Rotation is Django's own: put the old key into SECRET_KEY_FALLBACKS and what it sealed stays readable.
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
    """What was sealed cannot be opened: the key is another one than when it was written."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret was sealed with another LEFT4ME_SECRET_KEY (or, on a host of its own, another"
            " LEFT4ME_SEALING_KEY). Restore the old key, or set the secret anew."
        )


def sealing_key(secret_key: str) -> str:
    """The sealing key that belongs to a secret key; the way back is not possible."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"left4me.secrets:" + secret_key.encode()).digest()).decode()


def sealing_keys() -> tuple[str, ...]:
    """The keys in use: the first one seals, all of them open."""
    if settings.LEFT4ME_SEALING_KEY:
        return (settings.LEFT4ME_SEALING_KEY,)
    return tuple(sealing_key(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def is_sealing_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _current() -> MultiFernet:
    return _fernet(sealing_keys())


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
