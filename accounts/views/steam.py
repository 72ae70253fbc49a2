"""Pages on which a user's Steam ID is confirmed through Steam, entered by hand, and unlinked."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import actions, steam_sign_in
from accounts.forms import SteamIdForm
from accounts.models import SteamSource, User
from accounts.permissions import administrator, signed_in
from left4me.core.redis import rate_limit
from left4me.core.web import forms as lib_forms

# Each return asks Steam, so a session may not have it asked without end.
_RETURNS = rate_limit.Limit("steam-returns", 20, 600)

_STATE: Final = "steam_sign_in"


@require_safe
@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """Send the browser to Steam. By a link: the policy of pages lets forms lead to this site only."""
    signed_in(request)
    provider = settings.LEFT4ME_STEAM_OPENID_URL
    address, state = steam_sign_in.begin(request, provider=provider, return_path=reverse("accounts:steam_return"))
    request.session[_STATE] = state
    return redirect(address)


@require_safe
@never_cache
def return_(request: HttpRequest) -> HttpResponse:
    """Take the browser back from Steam, and link the Steam ID that Steam confirms."""
    user = signed_in(request)
    rate_limit.enforce(_RETURNS, f"user:{user.pk}")
    provider = settings.LEFT4ME_STEAM_OPENID_URL
    try:
        path, state = reverse("accounts:steam_return"), str(request.session.pop(_STATE, ""))
        steam_id = steam_sign_in.finish(request, provider=provider, return_path=path, state=state)
        actions.link_steam_id(user=user, steam_id=steam_id, source=SteamSource.STEAM, by=user, request=request)
    except actions.Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Steam ID confirmed."))
    return redirect("accounts:profile")


@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest) -> HttpResponse:
    """Enter one's own Steam ID, which stays unconfirmed."""
    user = signed_in(request)
    return _enter(request, user, by=user, source=SteamSource.USER, done=reverse("accounts:profile"))


@require_http_methods(["GET", "HEAD", "POST"])
def enter_for(request: HttpRequest, pk: int) -> HttpResponse:
    """Enter the Steam ID of a user, as an admin."""
    admin = administrator(request)
    user = get_object_or_404(User, pk=pk)
    return _enter(request, user, by=admin, source=SteamSource.ADMIN, done=reverse("accounts:users"))


@require_POST
def unlink(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    actions.unlink_steam_id(user=user, by=user, request=request)
    messages.success(request, _("Steam ID unlinked."))
    return redirect("accounts:profile")


@require_POST
def unlink_for(request: HttpRequest, pk: int) -> HttpResponse:
    admin = administrator(request)
    actions.unlink_steam_id(user=get_object_or_404(User, pk=pk), by=admin, request=request)
    messages.success(request, _("Steam ID unlinked."))
    return redirect("accounts:users")


def _enter(request: HttpRequest, user: User, *, by: User, source: SteamSource, done: str) -> HttpResponse:
    form = SteamIdForm(request.POST or None, initial={"steam_id": user.steam_id})

    def link() -> bool:
        steam_id = form.cleaned_data["steam_id"]
        actions.link_steam_id(user=user, steam_id=steam_id, source=source, by=by, request=request)
        return True

    linked, status = lib_forms.submit(form, link)
    if linked:
        messages.success(request, _("Steam ID saved."))
        return redirect(done)
    context = {"form": form, "person": user, "is_own": source == SteamSource.USER, "done": done}
    return render(request, "accounts/steam_id.html", context, status=status)
