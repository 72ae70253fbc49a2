"""Encryption of secrets in the database, with a key derived from SECRET_KEY: a copy of the database reveals none.

Other hosts decrypt them too: with the derived key in LEFT4ME_SEALING_KEY, from which SECRET_KEY cannot be computed.
Rotation works as Django's: with the old key in SECRET_KEY_FALLBACKS, secrets encrypted with it stay readable.
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
    """The secret cannot be decrypted, because it was encrypted with another key."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret was sealed with another LEFT4ME_SECRET_KEY (or, on a host of its own, another"
            " LEFT4ME_SEALING_KEY). Restore the old key, or set the secret anew."
        )


def sealing_key(secret_key: str) -> str:
    """Derive the sealing key from a secret key. It cannot be reversed."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"left4me.secrets:" + secret_key.encode()).digest()).decode()


def sealing_keys() -> tuple[str, ...]:
    """The keys in use: the first encrypts, all of them decrypt."""
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
    """Encrypt `text` for storing. An empty text stays empty."""
    return _current().encrypt(text.encode()).decode() if text else ""


def unseal(sealed: str) -> str:
    """Decrypt what `seal` returned. Raises Unreadable if the key differs."""
    if not sealed:
        return ""
    try:
        return _current().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def new_password(length: int = 43) -> str:
    """A random password of 43 letters and digits (256 bits), which needs no quoting anywhere."""
    return "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(length))
