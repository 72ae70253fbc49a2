"""Signing in at other providers, and linking accounts there to one's own."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import actions, steam_sign_in
from accounts.doors import actions as door_actions
from accounts.doors import offers, openid_connect, round_trip
from accounts.doors.openid_connect import Provider
from accounts.doors.round_trip import Trip
from accounts.factors import confirmation
from accounts.models import Identity, SteamSource, User
from accounts.permissions import signed_in
from accounts.views.entry import after_password, target_of
from left4me.audit import record
from left4me.core.net.addresses import client_address, network
from left4me.core.redis import rate_limit
from left4me.core.web import notices
from left4me.core.web.refusals import Refused

# Each costs requests to the provider, so they may not be caused without end.
_TRIPS: Final = rate_limit.Limit("door-trips", 60, 10 * 60)


@require_safe
@login_not_required
@never_cache
def begin(request: HttpRequest, door: str) -> HttpResponse:
    """Send the browser to the provider to sign in. By a link: the policy lets forms lead to this site only."""
    return _leave(request, door, linking=0, target=target_of(request), back=settings.LOGIN_URL)


@require_safe
@never_cache
def link(request: HttpRequest, door: str) -> HttpResponse:
    """Send the signed-in user to the provider, to link the account there.

    The token of the page keeps other sites from linking an account of their own by leading a browser here.
    """
    user, back = signed_in(request), reverse("accounts:factors")
    if asked := confirmation.ask(request, back=back):
        return asked
    if not constant_time_compare(request.GET.get("token", ""), offers.link_token(request)):
        return redirect(back)
    return _leave(request, door, linking=user.pk, target=back, back=back)


@require_safe
@login_not_required
@never_cache
def return_(request: HttpRequest, door: str) -> HttpResponse:
    """Take the browser back from the provider: sign in whose account this is, or link it."""
    rate_limit.enforce(_TRIPS, network(client_address(request)))
    _check_offered(door)
    trip = round_trip.of(request, door)
    try:
        if trip is None:
            raise Refused(_("This sign-in was not started in this browser, or it took too long. Try again."))
        response = _arrive(request, trip)
    except Refused as refusal:
        record.write(action="session.door_refused", by=None, request=request, door=door)
        notices.refuse(request, refusal)
        response = redirect("accounts:factors" if request.user.is_authenticated else settings.LOGIN_URL)
    round_trip.end(response)
    return response


@require_POST
def unlink(request: HttpRequest, pk: int) -> HttpResponse:
    user, back = signed_in(request), reverse("accounts:factors")
    identity = get_object_or_404(Identity, pk=pk, user=user)
    if asked := confirmation.ask(request, back=back):
        return asked
    door_actions.unlink(user=user, identity=identity, by=user, request=request)
    messages.success(request, _("Unlinked. It no longer signs you in."))
    return redirect(back)


def _leave(request: HttpRequest, door: str, *, linking: int, target: str, back: str) -> HttpResponse:
    rate_limit.enforce(_TRIPS, network(client_address(request)))
    _check_offered(door)
    path = reverse("accounts:door_return", args=[door])
    try:
        if door == Identity.Door.STEAM:
            provider = settings.LEFT4ME_STEAM_OPENID_URL
            address, state = steam_sign_in.begin(request, provider=provider, return_path=path)
            memory = {"state": state}
        else:
            address, memory = openid_connect.begin(_provider(), return_to=request.build_absolute_uri(path))
    except Refused as refusal:
        notices.refuse(request, refusal)
        return redirect(back)
    response = redirect(address)
    round_trip.begin(response, Trip(door=door, linking=linking, target=target, memory=memory))
    return response


def _arrive(request: HttpRequest, trip: Trip) -> HttpResponse:
    found = _identity(request, trip)
    if trip.linking:
        return _link(request, trip, found)
    user = door_actions.user_of(issuer=found.issuer, subject=found.subject)
    if user is None:
        raise Refused(_("It is linked to no user here. Sign in with your password, then link it in your account."))
    return after_password(request, user, trip.target, means=trip.door)


def _identity(request: HttpRequest, trip: Trip) -> openid_connect.Identity:
    path = reverse("accounts:door_return", args=[trip.door])
    if trip.door != Identity.Door.STEAM:
        return_to = request.build_absolute_uri(path)
        return openid_connect.finish(_provider(), request.GET, trip.memory, return_to=return_to)
    provider = settings.LEFT4ME_STEAM_OPENID_URL
    state = trip.memory.get("state", "")
    steam_id = str(steam_sign_in.finish(request, provider=provider, return_path=path, state=state))
    return openid_connect.Identity(provider, steam_id, steam_id)


def _link(request: HttpRequest, trip: Trip, found: openid_connect.Identity) -> HttpResponse:
    user = request.user
    if not isinstance(user, User) or user.pk != trip.linking or not confirmation.is_recent(request.session):
        raise Refused(_("Sign in here first, then link the account again."))
    with transaction.atomic():
        if trip.door == Identity.Door.STEAM:
            steam_id, source = int(found.subject), SteamSource.STEAM
            actions.link_steam_id(user=user, steam_id=steam_id, source=source, by=user, request=request)
        door_actions.link(
            user=user, door=trip.door, issuer=found.issuer, subject=found.subject, label=found.label, request=request
        )
    messages.success(request, _("Linked. You can sign in with it from now on."))
    return redirect(trip.target)


def _check_offered(door: str) -> None:
    if door not in {each.key for each in offers.offered()}:
        raise Http404


def _provider() -> Provider:
    return Provider(settings.LEFT4ME_OIDC_ISSUER, settings.LEFT4ME_OIDC_CLIENT_ID, settings.LEFT4ME_OIDC_CLIENT_SECRET)
