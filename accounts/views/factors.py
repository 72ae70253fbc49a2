"""Pages of the second factors of one's own account, and their reset by an admin."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import offers
from accounts.factors import actions, apps, confirmation, second_step
from accounts.forms import CodeForm
from accounts.models import AuthenticatorApp, User
from accounts.permissions import administrator, signed_in
from left4me.core import secrets
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.refusals import Refused

# The secret of an app that is being set up: encrypted, because sessions are rows.
_NEW_APP: Final = "new_app_sealed"


@require_safe
def factors(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    used = user.recovery_codes.filter(used_at__isnull=False)
    context = {
        "app": AuthenticatorApp.objects.filter(user=user).first(),
        "passkeys": user.passkeys.all(),
        "doors": offers.of_user(request, user),
        "codes_left": user.recovery_codes.unused().count(),
        "used_codes": used,
        "is_demanded": second_step.is_demanded(user),
    }
    return render(request, "accounts/factors.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def app(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app: show its secret, and take it into use when a code proves that the app has it."""
    user = signed_in(request)
    if asked := confirmation.ask(request, back=reverse("accounts:factor_app")):
        return asked
    secret = _new_secret(request)
    form = CodeForm(request.POST or None, help_text=_("The 6 digits that the app shows now."))

    def add() -> list[str]:
        return actions.add_app(user=user, secret=secret, code=form.cleaned_data["code"].strip(), request=request)

    codes, status = lib_forms.submit(form, add)
    if codes is None:
        uri = apps.address(secret, username=user.username, site=request.get_host())
        context = {"form": form, "secret": secret, "uri": uri, "picture": apps.picture(uri)}
        return render(request, "accounts/factor_app.html", context, status=status)
    del request.session[_NEW_APP]
    messages.success(request, _("Authenticator app set up. From now on, signing in asks for a code of it."))
    return show_codes(request, codes) if codes else redirect("accounts:factors")


def _new_secret(request: HttpRequest) -> str:
    """The same secret while the page is shown again, so that a mistyped code does not need another scan."""
    try:
        if request.method == "POST" and (secret := secrets.unseal(request.session.get(_NEW_APP, ""))):
            return secret
    except secrets.Unreadable:
        pass
    secret = apps.new_secret()
    request.session[_NEW_APP] = secrets.seal(secret)
    return secret


@require_POST
def remove_app(request: HttpRequest) -> HttpResponse:
    user, back = signed_in(request), reverse("accounts:factors")
    if asked := confirmation.ask(request, back=back):
        return asked
    try:
        actions.remove_app(user=user, request=request)
    except Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Authenticator app removed."))
    return redirect(back)


@require_POST
@never_cache
def renew_codes(request: HttpRequest) -> HttpResponse:
    user, back = signed_in(request), reverse("accounts:factors")
    if asked := confirmation.ask(request, back=back):
        return asked
    try:
        return show_codes(request, actions.renew_codes(user=user, request=request))
    except Refused as refusal:
        notices.refuse(request, refusal)
        return redirect(back)


def show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    """The page that shows new recovery codes, once."""
    return render(request, "accounts/recovery_codes.html", {"codes": codes, "text": "\n".join(codes)})


@require_POST
def reset_for(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget the second factors of a user who has lost them, as an admin."""
    admin = administrator(request)
    user = get_object_or_404(User, pk=pk)
    if asked := confirmation.ask(request, back=reverse("accounts:users")):
        return asked
    actions.reset(user=user, by=admin, request=request)
    messages.success(
        request, _("%(name)s signs in with the password alone until a new factor is set up.") % {"name": user.username}
    )
    return redirect("accounts:users")
