"""Making, using and removing passkeys. Browsers ask for what to sign by script; forms bring back what was signed."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import browsers
from accounts.factors import actions, confirmation, passkeys, second_step
from accounts.factors.codes import Means
from accounts.models import Passkey, User
from accounts.permissions import signed_in
from accounts.views.entry import enter, target_of
from accounts.views.factors import show_codes
from left4me.core.net.addresses import client_address, network
from left4me.core.redis import rate_limit
from left4me.core.web import notices
from left4me.core.web.refusals import Refused

_OFFERS: Final = rate_limit.Limit("passkey-offers", 60, 15 * 60)


@require_POST
@login_not_required
def offer_any(request: HttpRequest) -> HttpResponse:
    """What to sign with any passkey of this site, to sign in without a username."""
    rate_limit.enforce(_OFFERS, network(client_address(request)))
    return passkeys.offer_using(request, None)


@require_POST
@login_not_required
def offer_own(request: HttpRequest) -> HttpResponse:
    """What to sign with a passkey of the signed-in user, or of whoever has just entered a password."""
    rate_limit.enforce(_OFFERS, network(client_address(request)))
    user = request.user if isinstance(request.user, User) else second_step.candidate(request)
    if user is None:
        messages.error(request, _("This took too long. Enter your password again."))
        return redirect(settings.LOGIN_URL)
    return passkeys.offer_using(request, user)


@require_POST
@login_not_required
@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey alone. The device has verified its owner, so it is both factors in one."""
    try:
        user = passkeys.used(request, None)
    except Refused as refusal:
        notices.refuse(request, refusal)
        return redirect(settings.LOGIN_URL)
    return enter(request, user, target_of(request), means=Means.PASSKEY.value, passed=True)


@require_POST
def offer_making(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    if asked := confirmation.ask(request, back=reverse("accounts:factors")):
        return asked
    return passkeys.offer_making(request, user)


@require_POST
@never_cache
def add(request: HttpRequest) -> HttpResponse:
    user, back = signed_in(request), reverse("accounts:factors")
    if asked := confirmation.ask(request, back=back):
        return asked
    name = request.POST.get("name", "").strip() or browsers.name_of(request.META.get("HTTP_USER_AGENT", ""))
    try:
        passkey = passkeys.made(request, user, name=name)
        codes = actions.add_passkey(user=user, passkey=passkey, request=request)
    except (Refused, ValidationError) as refusal:
        notices.refuse(request, refusal)
        return redirect(back)
    messages.success(request, _("Passkey “%(name)s” added.") % {"name": passkey.name})
    return show_codes(request, codes) if codes else redirect(back)


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    user, back = signed_in(request), reverse("accounts:factors")
    passkey = get_object_or_404(Passkey, pk=pk, user=user)
    if asked := confirmation.ask(request, back=back):
        return asked
    try:
        actions.remove_passkey(user=user, passkey=passkey, request=request)
    except Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Passkey “%(name)s” removed.") % {"name": passkey.name})
    return redirect(back)
