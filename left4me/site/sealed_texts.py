"""The encrypted texts in the database: which columns hold them, and which cannot be decrypted."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.db.models import Field, Model

from left4me.core import secrets
from servers.models import DeletedServer, Server


def fields() -> list[tuple[type[Model], str]]:
    """Every column that holds encrypted texts. By convention its name says “sealed”."""
    found = [(model, field) for model in apps.get_models() for field in model._meta.get_fields()]
    return [(model, field.name) for model, field in found if isinstance(field, Field) and "sealed" in field.name]


def every() -> Iterator[tuple[type[Model], str, object, str]]:
    """Every encrypted text with its model, column and row; on a worker host those of its own servers only."""
    for model, field in fields():
        rows = model._default_manager.exclude(**{field: ""})
        if settings.LEFT4ME_SEALING_KEY:
            if model is not Server:
                continue
            rows = rows.filter(host__name=settings.LEFT4ME_HOST)
        for pk, sealed in rows.values_list("pk", field):
            yield model, field, pk, sealed


def of_the_web() -> Iterator[tuple[type[Model], str, object, str]]:
    """Those of `every` that belong to no server, so that only the web reads them."""
    for model, field, pk, sealed in every():
        if model not in (Server, DeletedServer):
            yield model, field, pk, sealed


def unreadable() -> list[str]:
    """What has a secret that no known key decrypts, such as “server 7”, each once."""
    found = {}
    for model, _field, pk, sealed in every():
        try:
            secrets.unseal(sealed)
        except secrets.Unreadable:
            found[f"{model._meta.verbose_name} {pk}"] = True
    return list(found)
