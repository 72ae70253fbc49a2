"""The key of this worker host, for the passwords of its servers: asked from the web when it cannot decrypt one.

The join URL contains the first key. A later one is kept in a file, so that a restart needs no web.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path

from django.conf import settings

from left4me.core import secrets
from left4me.core.files import atomic
from left4me.core.net import fetch
from servers.models import Host

logger = logging.getLogger(__name__)

_PATH = "/api/v1/hosts/self/key"
_LONGEST_ANSWER = 10_000
_SECONDS = 5.0
# Pages of text that no key opens must not become as many requests.
_ASK_EVERY_SECONDS = 15.0

_lock = threading.Lock()
_asked_at = float("-inf")


def register() -> None:
    """Use the key that was kept, and ask for another one when it does not fit. Called once when Django is ready."""
    secrets.on_unreadable(renew)
    if settings.LEFT4ME_WEB_URL and (kept := _kept()):
        secrets.use(kept)


def renew() -> bool:
    """Ask the web for the present key; returns whether it is worth decrypting once more."""
    global _asked_at
    if not settings.LEFT4ME_WEB_URL:
        return False
    with _lock:
        if time.monotonic() - _asked_at < _ASK_EVERY_SECONDS:
            # Another thread has asked while this one waited.
            return True
        _asked_at = time.monotonic()
        try:
            key = _ask()
        except (fetch.FetchError, OSError, ValueError, LookupError) as error:
            logger.warning("The key of this host could not be fetched from the web: %s", error)
            return False
        secrets.use(key)
        _keep(key)
        return True


def leave_the_key_of_the_web(host: Host) -> None:
    """Ask for the first key of this host's own: releases before gave every host the web's."""
    if settings.LEFT4ME_WEB_URL and not host.key_number and renew():
        logger.info("This host has a key of its own now")


def _ask() -> str:
    headers = {"Authorization": f"Bearer {settings.LEFT4ME_HOST_TOKEN}"}
    with (
        fetch.Client(
            hosts=fetch.AllowedHosts().with_origin(settings.LEFT4ME_WEB_URL),
            ca=settings.LEFT4ME_WEB_CA,
            connect_timeout=_SECONDS,
            read_timeout=_SECONDS,
        ) as client,
        client.get(f"{settings.LEFT4ME_WEB_URL}{_PATH}", headers=headers) as answer,
    ):
        if answer.status != 200:
            raise fetch.BadStatus(answer.status, answer.host)
        key = str(json.loads(answer.body(limit=_LONGEST_ANSWER, within=_SECONDS))["key"])
    if not secrets.is_sealing_key(key):
        raise ValueError("the web sent no key")
    return key


def _file() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "host_key"


def _kept() -> str:
    try:
        key = _file().read_text().strip()
    except OSError:
        return ""
    return key if secrets.is_sealing_key(key) else ""


def _keep(key: str) -> None:
    try:
        atomic.write(_file(), f"{key}\n", mode=0o600, durable=True)
    except OSError as error:
        logger.warning("The key of this host could not be kept in %s: %s", _file(), error)
