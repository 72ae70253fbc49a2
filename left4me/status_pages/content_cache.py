"""The content of status pages, made once in a few seconds for all visitors, so that they do not load the database.

A change of a page counts at once: it begins a new generation of the content, so that nobody reads what a request that
was computing the old one stores afterwards.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from typing import Any, Final

import redis
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from left4me.status_pages import content
from left4me.status_pages.models import StatusPage

FRESH_SECONDS: Final = 5.0
# Meanwhile one visitor's request computes, the others get what is there.
_KEPT_SECONDS: Final = 30
_COMPUTING_SECONDS: Final = 5
# Longer than content of an earlier generation is kept.
_GENERATION_SECONDS: Final = 3600


def read(slug: str) -> dict[str, Any] | None:
    """The content of the page that is on at this address, with its `digest`; None if there is none.

    Makes no query as long as somebody else's content is fresh.
    """
    try:
        key = f"status-page:{slug}:{cache.get(_generation(slug), '')}"
        kept = cache.get(key)
        if kept is not None and not _is_due(kept, key):
            found: dict[str, Any] | None = kept["content"]
            return found
        made = _made(slug)
        cache.set(key, {"content": made, "at": time.time()}, _KEPT_SECONDS)
        return made
    except redis.RedisError:
        return _made(slug)


def forget(slugs: Iterable[str]) -> None:
    """Make a change of the page at these addresses count at once. Call it after the transaction that changes it."""
    try:
        cache.set_many({_generation(slug): secrets.token_hex(8) for slug in slugs}, _GENERATION_SECONDS)
    except redis.RedisError:
        # Without Redis nothing is kept.
        return


def _made(slug: str) -> dict[str, Any] | None:
    page = StatusPage.objects.filter(slug=slug, is_enabled=True, owner__is_active=True).first()
    if page is None:
        return None
    made = content.of(page, now=timezone.now())
    made["embed_origins"] = page.embed_origins
    made["digest"] = hashlib.sha256(json.dumps(made, sort_keys=True, cls=DjangoJSONEncoder).encode()).hexdigest()[:24]
    return made


def _is_due(kept: dict[str, Any], key: str) -> bool:
    """Whether this request has to make the content anew: the first one after it is no longer fresh."""
    if time.time() - kept["at"] < FRESH_SECONDS:
        return False
    return bool(cache.add(f"{key}:computing", 1, _COMPUTING_SECONDS))


def _generation(slug: str) -> str:
    return f"status-page:{slug}:generation"
