"""Middleware that requires sign-in, records when a session was last used, and activates the visitor's time zone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django_htmx.http import HttpResponseClientRedirect

from accounts.factors import second_step
from accounts.models import User
from left4me.core import moments
from left4me.core.net.addresses import client_address
from left4me.core.web.request import page_before

GetResponse = Callable[[HttpRequest], HttpResponse]


class SignInFirst(LoginRequiredMiddleware):
    """Redirects anonymous visitors to the login page, except for views marked `login_not_required`."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        if match is not None and match.namespaces[:1] == ["api"]:
            # The API authenticates by token or session itself and answers 401 with a problem, not with a redirect.
            return None
        if not getattr(view_func, "login_required", True):
            # Checked before the user is loaded (Django does it the other way round), so that /health costs no query.
            return None
        answer = super().process_view(request, view_func, view_args, view_kwargs)
        return answer if answer is not None else _second_step(request)

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponseRedirect:
        """Redirect to the login page and from there back to this page, or to the page of the form that was sent.

        What was typed there is restored by the browser (drafts.js). The address of a form may answer nothing else.
        """
        if request.method in {"GET", "HEAD"} or not (before := page_before(request)):
            return super().handle_no_permission(request, view_func)
        return redirect_to_login(before, self.get_login_url(view_func), self.get_redirect_field_name(view_func))

    def get_login_url(self, view_func: Callable[..., Any]) -> str:
        # Django's admin names its own login page; all sign-ins use the site's, with its throttling and audit.
        return str(settings.LOGIN_URL)


# Where somebody may be before the second step: at it, setting up a factor that is demanded, and signing out.
_BEFORE_SECOND_STEP = frozenset(
    {"second_step", "confirm", "logout", "factors", "factor_app", "renew_recovery_codes", "profile"}
    | {"offer_passkey", "add_passkey", "remove_passkey"}
)


def _second_step(request: HttpRequest) -> HttpResponseBase | None:
    """The redirect to the second step that this session lacks, if it does."""
    user, match = request.user, request.resolver_match
    if not isinstance(user, User) or not second_step.is_missing(user, request.session):
        return None
    if match is not None and match.app_names == ["accounts"]:
        allowed = _BEFORE_SECOND_STEP if user.second_factor_at is None else {"second_step", "logout"}
        if match.url_name in allowed:
            return None
    before = request.get_full_path() if request.method in {"GET", "HEAD"} else page_before(request)
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponseClientRedirect(reverse("accounts:second_step"))
    return redirect_to_login(before or "/", reverse("accounts:second_step"))


class TimeZone:
    """Activates the zone that the user has chosen, else that of the browser, else UTC, which texts then name."""

    # Written by times.js, which knows the zone of the browser.
    COOKIE = "time_zone"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(moments.zone(request.COOKIES.get(self.COOKIE, ""))):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> None:
        # The user if it is loaded already: pages that need none, such as /health, must not cost a query.
        user = getattr(request, "_cached_user", None)
        if chosen := moments.zone(getattr(user, "time_zone", "")):
            timezone.activate(chosen)


class LastSeen:
    """Records when and from which address a session was last used."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        row = getattr(request.session, "row", None)
        if row is not None and row.user_id is not None:
            row.was_seen(address=client_address(request), now=timezone.now())
        return response
