"""Encryption of secrets in the database with keys derived from SECRET_KEY: a copy of the database reveals none.

Most are encrypted with the key of the web. What a worker host must decrypt is encrypted with a key of that host alone,
which is derived from the web's: the web reads everything, a host what is its own, and no key leads back to another.
A text that was encrypted for a host begins with the name of its key, such as `host-3.1:`.

Secrets sealed with a key in SECRET_KEY_FALLBACKS stay readable, until `manage.py reseal_secrets` encrypts them with
the present one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Callable
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

# Not among the characters of a Fernet token, nor in the name of a key.
_SEPARATOR = ":"
# The keys that the web gave this host while the process runs: a text that was read before may need the one before.
_KEYS_KEPT = 3
_given: list[str] = []
_renewals: list[Callable[[], bool]] = []
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


def key_named(name: str) -> str:
    """The present key of this name: the web's for the empty name, otherwise a host's. Only the web can derive it."""
    return _keys_named(name)[0]


def is_sealing_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def key_name_of(sealed: str) -> str:
    """The name of the key that a text was sealed with."""
    name, separator, _token = sealed.partition(_SEPARATOR)
    return name if separator else ""


def seal(text: str, *, key_name: str = "") -> str:
    """Return `text` encrypted with the key of this name; the empty text stays empty."""
    return _labelled(key_name, _fernet(_keys_named(key_name)).encrypt(text.encode())) if text else ""


def unseal(sealed: str) -> str:
    """Return the text that `seal` encrypted; raises Unreadable under another key.

    On a worker host whose key was replaced, asks the web for the present one.
    """
    if not sealed:
        return ""
    name, token = key_name_of(sealed), _token(sealed)
    try:
        return _fernet(_keys_named(name)).decrypt(token).decode()
    except InvalidToken as error:
        if not (settings.LEFT4ME_SEALING_KEY and any(renew() for renew in _renewals)):
            raise Unreadable from error
    try:
        return _fernet(_keys_named(name)).decrypt(token).decode()
    except InvalidToken as error:
        raise Unreadable from error


def resealed(sealed: str, *, key_name: str) -> str:
    """The same secret, encrypted with the present key of this name: the same text if it was already.

    Raises Unreadable when no known key opens it.
    """
    text = unseal(sealed)
    return sealed if _is_present(sealed, key_name) else seal(text, key_name=key_name)


def use(key: str) -> None:
    """Decrypt with this key of the present host too, before those that it had."""
    _given[:] = [key, *(known for known in _given if known != key)][:_KEYS_KEPT]


def on_unreadable(renew: Callable[[], bool]) -> None:
    """Call `renew` on a worker host that cannot decrypt a text; it returns whether it has called `use`."""
    _renewals[:] = [renew]


def _keys_named(name: str) -> tuple[str, ...]:
    """The first one encrypts, all of them decrypt. A worker host has only its own, whatever their name."""
    if settings.LEFT4ME_SEALING_KEY:
        return (*_given, settings.LEFT4ME_SEALING_KEY)
    of_the_web = tuple(sealing_key(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    return tuple(_of_host(key, name) for key in of_the_web) if name else of_the_web


def _is_present(sealed: str, key_name: str) -> bool:
    if not sealed or key_name_of(sealed) != key_name:
        return not sealed
    try:
        _fernet((key_named(key_name),)).decrypt(_token(sealed))
    except InvalidToken:
        return False
    return True


def _token(sealed: str) -> bytes:
    return sealed.rpartition(_SEPARATOR)[2].encode()


@lru_cache(maxsize=64)
def _of_host(key: str, name: str) -> str:
    digest = hmac.digest(key.encode(), b"left4me.host:" + name.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode()


@lru_cache(maxsize=64)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _labelled(name: str, token: bytes) -> str:
    return f"{name}{_SEPARATOR}{token.decode()}" if name else token.decode()


def new_password(length: int = 43) -> str:
    """A random password of letters and digits, which need no quoting; 43 of them carry 256 bits."""
    return "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(length))
