"""Pages of the signed-in user's own account."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import actions, secrets
from accounts.forms import PasswordChangeForm, TokenForm
from accounts.models import ApiToken, Session
from accounts.permissions import signed_in
from accounts.throttle import PASSWORD
from left4me.core import moments
from left4me.core.redis import rate_limit
from left4me.core.web import forms as lib_forms
from left4me.core.web.pages import Paginator

SESSIONS_PER_PAGE = 50


@require_safe
def profile(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    now = timezone.now()
    context = {
        "sessions": user.sessions.live(now).count(),
        "tokens": user.api_tokens.usable(now).count(),
        "time_zones": moments.zone_names(),
    }
    return render(request, "accounts/profile.html", context)


@require_POST
def time_zone(request: HttpRequest) -> HttpResponse:
    """Choose the time zone of pages; anything but the name of one leaves it to the browser."""
    name = request.POST.get("time_zone", "")
    actions.set_time_zone(user=signed_in(request), name=name if name in moments.zone_names() else "")
    messages.success(request, _("Time zone saved."))
    return redirect("accounts:profile")


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
def password(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    form = PasswordChangeForm(request.POST or None, user=user)
    if request.method == "POST":
        # Limits guessing by somebody who found an unlocked session.
        rate_limit.enforce(PASSWORD, f"user:{user.pk}")
        if form.is_valid():
            actions.change_password(user=user, password=form.cleaned_data["password"], request=request)
            messages.success(request, _("Password changed. You are signed out on all other devices."))
            return redirect("accounts:profile")
    return render(request, "accounts/password.html", {"form": form}, status=422 if form.errors else 200)


@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    rows = signed_in(request).sessions.live(timezone.now())
    page = Paginator(rows, SESSIONS_PER_PAGE).get_page(request.GET.get("page"))
    here = secrets.digest(request.session.session_key or "")
    return render(request, "accounts/sessions.html", {"page": page, "here": here})


@require_POST
def revoke_session(request: HttpRequest, pk: str) -> HttpResponse:
    user = signed_in(request)
    session = get_object_or_404(Session, pk=pk, user=user)
    actions.revoke_session(session=session, by=user, request=request)
    if pk == secrets.digest(request.session.session_key or ""):
        request.session.flush()
    else:
        messages.success(request, _("Device signed out."))
    return redirect("accounts:sessions")


@require_POST
def revoke_other_sessions(request: HttpRequest) -> HttpResponse:
    ended = actions.revoke_other_sessions(user=signed_in(request), request=request)
    messages.success(request, ngettext("%(n)d device signed out.", "%(n)d devices signed out.", ended) % {"n": ended})
    return redirect("accounts:sessions")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def tokens(request: HttpRequest) -> HttpResponse:
    """List the user's tokens. Creating one shows this page with the new key, which is shown only once."""
    user = signed_in(request)
    form, key = TokenForm(request.POST or None), ""

    def create() -> tuple[ApiToken, str]:
        return actions.create_token(
            user=user,
            name=form.cleaned_data["name"],
            scope=form.cleaned_data["scope"],
            by=user,
            lifetime=form.lifetime(),
            request=request,
        )

    created, status = lib_forms.submit(form, create)
    if created is not None:
        key, form = created[1], TokenForm()
    context = {"tokens": user.api_tokens.all(), "form": form, "key": key, "now": timezone.now()}
    return render(request, "accounts/tokens.html", context, status=status)


@require_POST
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    token = get_object_or_404(ApiToken, pk=pk, user=user)
    actions.revoke_token(token=token, by=user, request=request)
    messages.success(request, _("Token “%(name)s” revoked.") % {"name": token.name})
    return redirect("accounts:tokens")
