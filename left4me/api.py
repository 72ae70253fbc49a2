"""The JSON API: one NinjaAPI with the routers of all apps. Every error becomes problem+json."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as FormFault
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from accounts.api import Bearer, PageSession
from accounts.api import router as accounts_router
from left4me.alerts.api import router as alerts_router
from left4me.backups.api import router as backups_router
from left4me.core import outages, rows
from left4me.core.redis.rate_limit import RateLimited
from left4me.core.web import refusals
from left4me.core.web.api import Problem, problem_response
from left4me.core.web.request import read_json
from left4me.importer.api import router as importer_router
from left4me.jobs.api import router as jobs_router
from left4me.schedules.api import router as schedules_router
from left4me.schedules.bulk_api import router as bulk_router
from left4me.site.api_docs import Docs
from left4me.site.host_access import router as host_access_router
from left4me.status_pages.api import router as status_pages_router
from livestate.api import router as livestate_router
from livestate.bans.api import router as bans_router
from livestate.demos.api import router as demos_router
from livestate.figures.api import router as figures_router
from livestate.matches.api import router as matches_router
from livestate.players.api import router as players_router
from livestate.rotation.api import router as rotation_router
from overlays.api import router as overlays_router
from overlays.campaigns.api import router as campaigns_router
from overlays.files.api import router as uploads_router
from overlays.files.trash_api import router as trash_router
from overlays.plugins.api import router as overlay_plugins_router
from overlays.workshop_items.api import router as workshop_items_router
from servers.api import router as servers_router

logger = logging.getLogger(__name__)

_PROBLEM = {
    "description": "What went wrong (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "cure": {
                        "type": "object",
                        "description": "What helps, if you may do it: a POST of `operation` to `url`, as the page's "
                        "button does, or without an operation the page to open",
                        "properties": {name: {"type": "string"} for name in ("label", "url", "operation")},
                    },
                },
            }
        }
    },
}


def _for_everybody(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    return login_not_required(require_safe(view))


class JSONParser(Parser):
    """Reads bodies as all views do."""

    def parse_body(self, request: HttpRequest) -> Any:
        return read_json(request.body)


class API(NinjaAPI):
    _documents: Final[dict[str, OpenAPISchema]] = {}

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """The OpenAPI document, with the problem response added to every operation.

        It is made once, because that takes a second of processor time, and anybody may ask for it.
        """
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        if prefix not in self._documents:
            schema = super().get_openapi_schema(path_prefix=prefix)
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"]["4XX"] = _PROBLEM
            self._documents[prefix] = schema
        return self._documents[prefix]


api = API(
    title="left4me",
    version="1",
    description="Manage servers, blueprints, overlays and jobs: everything that the pages can do.",
    urls_namespace="api",
    auth=[Bearer(), PageSession()],
    parser=JSONParser(),
    docs=Docs(),
    docs_url="docs",
    openapi_url="openapi.json",
    # The source is public, and so is the description of its API; programs fetch it before they have a token.
    docs_decorator=_for_everybody,
)
api.add_router("", accounts_router)
api.add_router("", overlays_router)
api.add_router("", campaigns_router)
api.add_router("", overlay_plugins_router)
api.add_router("", uploads_router)
api.add_router("", trash_router)
api.add_router("", workshop_items_router)
api.add_router("", servers_router)
api.add_router("", host_access_router)
api.add_router("", jobs_router)
api.add_router("", livestate_router)
api.add_router("", figures_router)
api.add_router("", players_router)
api.add_router("", bans_router)
api.add_router("", rotation_router)
api.add_router("", matches_router)
api.add_router("", demos_router)
api.add_router("", alerts_router)
api.add_router("", schedules_router)
api.add_router("", bulk_router)
api.add_router("", status_pages_router)
api.add_router("", backups_router)
api.add_router("", importer_router)


@api.exception_handler(Problem)
def _problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    return problem_response(problem)


@api.exception_handler(refusals.Refused)
def _refused(request: HttpRequest, refusal: refusals.Refused) -> HttpResponse:
    return problem_response(Problem(409, _("Not possible"), str(refusal), **_cure(refusal)))


@api.exception_handler(refusals.Stale)
def _stale(request: HttpRequest, refusal: refusals.Stale) -> HttpResponse:
    return problem_response(Problem(409, _("Changed by someone else"), str(refusal), version=refusal.current.version))


@api.exception_handler(refusals.InUse)
def _in_use(request: HttpRequest, refusal: refusals.InUse) -> HttpResponse:
    return problem_response(Problem(409, _("In use"), str(refusal), **refusal.used_by, **_cure(refusal)))


@api.exception_handler(RateLimited)
def _too_many(request: HttpRequest, fault: RateLimited) -> HttpResponse:
    return problem_response(too_many(fault))


@api.exception_handler(AuthenticationError)
def _anonymous(request: HttpRequest, fault: AuthenticationError) -> HttpResponse:
    detail = _("Send the header “Authorization: Bearer <token>”. Create a token on the page “API tokens”.")
    return problem_response(Problem(401, _("Authentication required"), detail))


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, fault: HttpError) -> HttpResponse:
    return problem_response(Problem(fault.status_code, str(fault)))


@api.exception_handler(RequestDataTooBig)
def _too_large(request: HttpRequest, fault: RequestDataTooBig) -> HttpResponse:
    detail = _("The request body can have at most %(most)d bytes.") % {"most": settings.DATA_UPLOAD_MAX_MEMORY_SIZE}
    return problem_response(Problem(413, _("Request too large"), detail))


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, fault: Http404) -> HttpResponse:
    # The same message whether the object does not exist or belongs to another user.
    return problem_response(Problem(404, _("Not found"), _("It does not exist, or you don't have access to it.")))


@api.exception_handler(rows.Gone)
def _gone(request: HttpRequest, fault: rows.Gone) -> HttpResponse:
    return problem_response(
        Problem(404, _("Already deleted"), _("Someone else has just deleted it. Reload the page."))
    )


@api.exception_handler(PermissionDenied)
def _denied(request: HttpRequest, fault: PermissionDenied) -> HttpResponse:
    return problem_response(Problem(403, _("Access denied"), str(fault)))


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, fault: ValidationError) -> HttpResponse:
    errors = [{"field": _field(error["loc"]), "message": error["msg"]} for error in fault.errors]
    return problem_response(invalid(errors))


@api.exception_handler(FormFault)
def _invalid_row(request: HttpRequest, fault: FormFault) -> HttpResponse:
    by_field = fault.message_dict if hasattr(fault, "error_dict") else {"": fault.messages}
    errors = [
        {"field": "" if field == "__all__" else field, "message": message}
        for field, messages in by_field.items()
        for message in messages
    ]
    return problem_response(invalid(errors, **_cure(fault)))


@api.exception_handler(Exception)
def _unexpected(request: HttpRequest, fault: Exception) -> HttpResponse:
    logger.error("%s %s failed", request.method, request.path, exc_info=fault)
    if (outage := outages.of(fault)) is not None:
        return problem_response(Problem(503, str(outage.title), str(outage.text), retry_after=outage.retry_after))
    return problem_response(
        Problem(
            500, _("Internal server error"), _("The details are in the server's log. Try again, or tell an admin.")
        )
    )


def invalid(errors: list[dict[str, str]], **extra: Any) -> Problem:
    """A 422 that lists the invalid fields, each with its message."""
    detail = "; ".join(f"{e['field']}: {e['message']}" if e["field"] else e["message"] for e in errors)
    return Problem(422, _("Invalid values"), detail, errors=errors, **extra)


def _cure(fault: Exception) -> dict[str, Any]:
    cure = refusals.cure_of(fault)
    return {"cure": cure.as_json()} if cure else {}


def too_many(fault: RateLimited) -> Problem:
    detail = ngettext("Try again in %(n)d second.", "Try again in %(n)d seconds.", fault.wait) % {"n": fault.wait}
    return Problem(429, _("Too many requests"), detail, retry_after=fault.wait)


def _field(place: tuple[str | int, ...]) -> str:
    # ninja's location is (body, <the view's argument>, field, …) or (query, field); clients know only the field.
    named = place[2:] if place[:1] in (("body",), ("form",)) and len(place) > 2 else place[1:]
    return ".".join(str(part) for part in named)
