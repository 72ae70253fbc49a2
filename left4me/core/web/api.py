"""Shared code of the JSON API's routers: errors as problem+json, paging, token scopes."""

from __future__ import annotations

import json
from typing import Any, Protocol

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Schema
from pydantic import ConfigDict, Field, create_model

SCOPES = ("read", "operate", "admin")

# What validates a schema is made when the schema is first used, which most are not: 5 MiB, and a tenth of a start.
Schema.model_config["defer_build"] = True


class Problem(Exception):
    """An error response, sent as `application/problem+json` (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str = "", **extra: Any) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.extra = extra
        super().__init__(title)

    def as_json(self) -> dict[str, Any]:
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


def problem_response(problem: Problem) -> HttpResponse:
    """The HTTP response for `problem`, with the headers that its status requires."""
    response = HttpResponse(
        json.dumps(problem.as_json(), cls=DjangoJSONEncoder),
        status=problem.status,
        content_type="application/problem+json",
    )
    if problem.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="left4me"'
    if "retry_after" in problem.extra:
        response["Retry-After"] = str(problem.extra["retry_after"])
    return response


class Body(Schema):
    """A request's JSON. A field that it does not know is an error (422), so that a misspelt one changes nothing."""

    model_config = ConfigDict(extra="forbid")


class Window(Schema):
    """The query parameters `limit` and `offset` of a list."""

    limit: int = Field(50, ge=1, le=500)
    offset: int = Field(0, ge=0, le=10_000_000)


def page_of(item: type[Schema], name: str) -> type[Schema]:
    """The schema of what `listed` returns; `name` is its name in the OpenAPI document."""
    return create_model(name, __base__=Schema, items=(list[item], ...), count=(int, ...))  # type: ignore[valid-type]


class Rows(Protocol):
    """What can be listed: a QuerySet, or what is counted and read in parts as one."""

    def count(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


def listed(rows: Rows, window: Window) -> dict[str, Any]:
    """One page of `rows`, with the total count."""
    return {"items": list(rows[window.offset : window.offset + window.limit]), "count": rows.count()}


def changed_fields(given: Schema, *, besides: set[str] | None = None) -> dict[str, Any]:
    """The fields of a PATCH body that change something: null means the same as a field that is left out."""
    return given.model_dump(exclude_none=True, exclude=besides)


def require_scope(request: HttpRequest, scope: str) -> None:
    """Raise Problem (403) if the token's scope is below `scope`. A browser session has all rights of its user."""
    granted = getattr(request, "token_scope", "admin")
    if SCOPES.index(granted) < SCOPES.index(scope):
        detail = _(
            "The token has scope “%(granted)s”, this request needs “%(needed)s”. Create a token with that scope."
        ) % {"granted": granted, "needed": scope}
        raise Problem(403, _("Token scope too low"), detail)
