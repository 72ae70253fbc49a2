"""Encryption of secrets in the database with a key derived from SECRET_KEY: a copy of the database reveals none.

Other hosts have to decrypt them too. They get the derived key in LEFT4ME_SEALING_KEY, from which SECRET_KEY cannot be
computed. Secrets sealed with a key in SECRET_KEY_FALLBACKS stay readable, until `manage.py reseal_secrets` encrypts
them with the present one.
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
    """A secret cannot be decrypted: it was sealed with another key."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret was encrypted with another LEFT4ME_SECRET_KEY (on a worker host: another"
            " LEFT4ME_SEALING_KEY). Restore the old key, or enter the secret again."
        )


def sealing_key(secret_key: str) -> str:
    """The sealing key derived from a secret key."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"left4me.secrets:" + secret_key.encode()).digest()).decode()


def sealing_keys() -> tuple[str, ...]:
    """The keys in use: the first one encrypts, all of them decrypt."""
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
    """Return `text` encrypted; the empty text stays empty."""
    return _current().encrypt(text.encode()).decode() if text else ""


def unseal(sealed: str) -> str:
    """Return the text that `seal` encrypted; raises Unreadable under another key."""
    if not sealed:
        return ""
    try:
        return _current().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def reseal(sealed: str) -> str:
    """Return the same secret, encrypted with the present key; raises Unreadable when no known key opens it."""
    try:
        return _current().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def new_password(length: int = 43) -> str:
    """A random password of letters and digits, which need no quoting; 43 of them carry 256 bits."""
    return "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(length))
