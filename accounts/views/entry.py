"""Pages for signing in, signing out and signing up, and for one-time links."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout as end_session
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import actions, browsers, secrets
from accounts.doors import offers
from accounts.factors import second_step
from accounts.forms import LoginForm, NewPasswordForm, SignUpForm
from accounts.models import OneTimeLink, User
from accounts.models.links import Purpose
from accounts.permissions import signed_in
from accounts.throttle import SIGN_UP, THROTTLED_ENTRIES, Attempt
from left4me.audit import record
from left4me.core.net.addresses import client_address, network
from left4me.core.redis import rate_limit
from left4me.core.redis.rate_limit import RateLimited
from left4me.core.web.request import previous_page


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@sensitive_post_parameters("password")
@never_cache
def login(request: HttpRequest) -> HttpResponse:
    target = target_of(request)
    if request.user.is_authenticated:
        return redirect(target)
    form = LoginForm(request)
    if request.method == "POST":
        name = request.POST.get("username", "").replace("\0", "").strip()[:64]
        attempt = Attempt(name, client_address(request), browsers.known_mark(request, name))
        _begin(attempt, request)
        form = LoginForm(request, data=request.POST)
        if form.is_valid():
            attempt.succeeded()
            return after_password(request, form.get_user(), target)
        record.write(action="session.refused", by=None, target=_who(name), request=request)
    context = {"form": form, "next": target, "is_empty": not User.objects.exists(), "doors": offers.offered()}
    return render(request, "accounts/login.html", context, status=422 if form.is_bound else 200)


def after_password(request: HttpRequest, user: User, target: str, *, means: str = "") -> HttpResponse:
    """Go on after the first step, which was the password, or another door that `means` names."""
    if user.second_factor_at is None:
        return enter(request, user, target, means=means)
    response = redirect(f"{reverse('accounts:second_step')}?{urlencode({'next': target})}")
    second_step.begin(response, user)
    return response


def enter(request: HttpRequest, user: User, target: str, *, means: str = "", passed: bool = False) -> HttpResponse:
    """Start the session, and remember the browser. `means` and `passed` are those of the second step."""
    actions.sign_in(user=user, request=request, means=means, has_passed_second_step=passed)
    response = redirect(target)
    browsers.remember(request, response, user.username)
    if user.language:
        browsers.set_language(response, user.language)
    return response


def _begin(attempt: Attempt, request: HttpRequest) -> None:
    try:
        attempt.begin()
    except RateLimited:
        # Once per window, so that repeated attempts cannot fill the disk with audit entries.
        (entries,) = rate_limit.add((THROTTLED_ENTRIES, f"{attempt.name}\n{attempt.address}"))
        if entries.is_over:
            raise
        record.write(action="session.throttled", by=None, target=_who(attempt.name), request=request)
        raise


def _who(name: str) -> str:
    # Only existing usernames are recorded: anything else may be a password typed into the wrong field.
    user = User.objects.named(name).first()
    return f"user:{user.pk}" if user else ""


def target_of(request: HttpRequest) -> str:
    """The page of this site to open afterwards."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return target
    return resolve_url(settings.LOGIN_REDIRECT_URL)


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    record.write(action="session.end", by=user, target=f"user:{user.pk}", request=request)
    end_session(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Choose the language of pages, for this browser and for the account of a signed-in user.

    Anything but the code of a language leaves the choice to the browser.
    """
    choice = request.POST.get("language", "")
    code = choice if choice in dict(settings.LANGUAGES) else ""
    if isinstance(request.user, User):
        actions.set_language(user=request.user, code=code)
    response = redirect(previous_page(request))
    browsers.set_language(response, code)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@sensitive_post_parameters("password")
def signup(request: HttpRequest) -> HttpResponse:
    """Sign up without an invitation, or show that one is needed."""
    if settings.LEFT4ME_SIGNUP == "open":
        return _sign_up(request, None)
    return render(request, "accounts/signup_closed.html", status=403)


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@sensitive_post_parameters("password")
@never_cache
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    if settings.LEFT4ME_SIGNUP == "closed":
        return render(request, "accounts/signup_closed.html", status=403)
    return _sign_up(request, _usable_link(Purpose.INVITATION, secret))


def _sign_up(request: HttpRequest, link: OneTimeLink | None) -> HttpResponse:
    form = SignUpForm(request.POST or None)
    if request.method == "POST":
        rate_limit.enforce(SIGN_UP, network(client_address(request)))
        if form.is_valid():
            try:
                user = actions.sign_up(
                    username=form.cleaned_data["username"],
                    password=form.cleaned_data["password"],
                    request=request,
                    invitation=link,
                )
            except IntegrityError:
                form.add_error("username", _("This username is taken. Choose another one."))
            except actions.Refused as refusal:
                form.add_error(None, str(refusal))
            else:
                actions.sign_in(user=user, request=request)
                response = redirect(settings.LOGIN_REDIRECT_URL)
                browsers.remember(request, response, user.username)
                return response
    return render(request, "accounts/signup.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@sensitive_post_parameters("password")
@never_cache
def password_link(request: HttpRequest, secret: str) -> HttpResponse:
    """Set a new password by a link that an admin created."""
    link = _usable_link(Purpose.PASSWORD, secret)
    if link.user is None or not link.user.is_active:
        raise Http404
    form = NewPasswordForm(request.POST or None, user=link.user)
    if request.method == "POST" and form.is_valid():
        try:
            actions.set_password_by_link(link=link, password=form.cleaned_data["password"], request=request)
        except actions.Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Password set. Sign in with it."))
            return redirect(settings.LOGIN_URL)
    context = {"form": form, "name": link.user.username}
    return render(request, "accounts/password_link.html", context, status=422 if form.errors else 200)


def _usable_link(purpose: Purpose, secret: str) -> OneTimeLink:
    links = OneTimeLink.objects.usable(timezone.now()).select_related("user")
    link = links.filter(purpose=purpose, digest=secrets.digest(secret)).first()
    if link is None:
        raise Http404(_("This link has been used, has expired or was revoked. Ask an admin for a new one."))
    return link
