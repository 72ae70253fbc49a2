"""The pages that ask for a second factor, at sign-in and in a session, and once more before sign-in is changed."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.factors import codes, confirmation, passkeys, second_step
from accounts.factors.codes import Means
from accounts.forms import CodeForm, ConfirmForm
from accounts.models import User
from accounts.permissions import signed_in
from accounts.throttle import PASSWORD
from accounts.views.entry import enter, target_of
from left4me.core.redis import rate_limit
from left4me.core.web.refusals import Refused


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@sensitive_post_parameters("code")
@never_cache
def verify(request: HttpRequest) -> HttpResponse:
    """Ask for a code: of whoever has just entered the password, or of a session that began without one."""
    target = target_of(request)
    if isinstance(request.user, User):
        return _verify_session(request, request.user, target)
    user = second_step.candidate(request)
    if user is None:
        messages.error(request, _("This took too long. Enter your password again."))
        return redirect(settings.LOGIN_URL)
    means, form = _code(request, user)
    if means is None:
        return _page(request, form, target, user)
    response = enter(request, user, target, means=means.value, passed=True)
    second_step.end(response)
    _tell_what_is_left(request, user, means)
    return response


def _verify_session(request: HttpRequest, user: User, target: str) -> HttpResponse:
    if not second_step.is_missing(user, request.session):
        return redirect(target)
    if user.second_factor_at is None:
        return redirect("accounts:factors")
    means, form = _code(request, user)
    if means is None:
        return _page(request, form, target, user)
    second_step.was_passed(request.session)
    confirmation.was_given(request.session)
    _tell_what_is_left(request, user, means)
    return redirect(target)


def _code(request: HttpRequest, user: User) -> tuple[Means | None, CodeForm]:
    form = CodeForm(request.POST or None, help_text=_("From your authenticator app, or one of your recovery codes."))
    if "credential" in request.POST:
        return _passkey(request, user, form), form
    if request.method != "POST" or not form.is_valid():
        return None, form
    means = codes.check(user, form.cleaned_data["code"], request=request)
    if means is None:
        form.add_error("code", _("Wrong code, or one that was used before. Codes of the app change every 30 seconds."))
    return means, form


def _passkey(request: HttpRequest, user: User, form: CodeForm) -> Means | None:
    """The means of a passkey of the user; None with an error in the form if it is none."""
    try:
        passkeys.used(request, user)
    except Refused as refusal:
        form.full_clean()
        form.errors.clear()
        form.add_error(None, str(refusal))
        return None
    return Means.PASSKEY


def _page(request: HttpRequest, form: CodeForm, target: str, user: User) -> HttpResponse:
    context = {"form": form, "next": target, "person": user, "has_passkeys": user.passkeys.exists()}
    return render(request, "accounts/second_step.html", context, status=422 if form.errors else 200)


def _tell_what_is_left(request: HttpRequest, user: User, means: Means) -> None:
    if means is not Means.RECOVERY_CODE:
        return
    left = user.recovery_codes.unused().count()
    text = ngettext(
        "You signed in with a recovery code. %(n)d code is left.",
        "You signed in with a recovery code. %(n)d codes are left.",
        left,
    )
    messages.warning(request, text % {"n": left})


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("password", "code")
@never_cache
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask the signed-in user for the password, or for a code, before the ways to sign in are changed."""
    user, target = signed_in(request), target_of(request)
    is_code, is_passkey = "code" in request.POST, False
    form = ConfirmForm(request.POST if "password" in request.POST else None, user=user)
    code_form = CodeForm(request.POST if is_code else None)
    if form.is_bound:
        # Limits guessing by somebody who found an unlocked session; also where something else is sent beside it.
        rate_limit.enforce(PASSWORD, f"user:{user.pk}")
    if "credential" in request.POST:
        code_form = CodeForm({})
        is_passkey = _passkey(request, user, code_form) is not None
    elif is_code and code_form.is_valid() and not codes.check(user, code_form.cleaned_data["code"], request=request):
        code_form.add_error("code", _("Wrong code, or one that was used before."))
    if is_passkey or code_form.is_valid() or form.is_valid():
        confirmation.was_given(request.session)
        return redirect(target)
    context = {"form": form, "code_form": code_form, "next": target, "has_passkeys": user.passkeys.exists()}
    return render(request, "accounts/confirm.html", context, status=422 if request.POST else 200)
