"""Secrets at rest, and whom else they are opened by."""

import base64
import hashlib

from cryptography.fernet import Fernet

from left4me.core import secrets


def test_another_host_opens_with_the_sealing_key_alone(settings):
    sealed = secrets.seal("hunter2")
    (key,) = secrets.sealing_keys()
    settings.SECRET_KEY = "of the other host, and of no use to it" * 2
    settings.LEFT4ME_SEALING_KEY = key
    assert secrets.unseal(sealed) == "hunter2"
    assert secrets.sealing_keys() == (key,)


def test_what_was_sealed_before_there_was_a_sealing_key_stays_readable(settings):
    """Sealed by the release before with this secret key."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "k" * 50, []
    key = base64.urlsafe_b64encode(hashlib.sha256(b"left4me.secrets:" + b"k" * 50).digest())
    assert secrets.unseal(Fernet(key).encrypt(b"old").decode()) == "old"
