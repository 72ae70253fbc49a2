"""Passkeys: made by a signed-in user, and used as a second factor or in place of username and password.

What a browser has to sign is kept in a signed cookie for five minutes, and counts once.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, cast

import redis
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.browsers import SignedCookie
from accounts.models import Passkey, User
from accounts.throttle import CodeAttempt
from left4me.audit import record
from left4me.core.net.addresses import client_address
from left4me.core.web.refusals import Refused
from left4me.core.web.request import read_json

_SECONDS: Final = 5 * 60
_COOKIE: Final = SignedCookie(name="left4me_passkey", salt="accounts.passkey", seconds=_SECONDS, same_site="Strict")
_LONGEST_ANSWER: Final = 20_000


def offer_making(request: HttpRequest, user: User) -> HttpResponse:
    """The answer with which a browser makes a passkey for the user."""
    from accounts.factors import webauthn  # its library is 4 MB, for pages that few open

    options, state = webauthn.begin_registration(request, user, user.passkeys.all())
    return _offer(options, ["make", user.pk, state])


def made(request: HttpRequest, user: User, *, name: str) -> Passkey:
    """The passkey that was made for the user, not stored yet. Raises Refused."""
    from accounts.factors import webauthn

    try:
        state = _state(request, "make", user.pk)
        passkey = webauthn.finish_registration(request, user, state, _answer(request))
    except webauthn.Invalid as error:
        raise Refused(_("The passkey could not be verified. Try again.")) from error
    passkey.name = name
    return passkey


def offer_using(request: HttpRequest, user: User | None) -> HttpResponse:
    """The answer with which a browser uses a passkey: one of the user's, or without a user any that it has."""
    from accounts.factors import webauthn

    known = None if user is None else list(user.passkeys.all())
    options, state = webauthn.begin_request(request, known)
    return _offer(options, ["use", user.pk if user else 0, state])


def used(request: HttpRequest, user: User | None) -> User:
    """The user whose passkey was used; that of `user` only, if given. Raises Refused and RateLimited."""
    from accounts.factors import webauthn

    CodeAttempt(user.pk if user else 0, client_address(request)).begin_long()
    passkey = None
    try:
        state, answer = _state(request, "use", user.pk if user else 0), _answer(request)
        passkey = _stored(webauthn.digest_in(answer), user)
        if passkey is None:
            raise webauthn.Invalid
        count = webauthn.finish_request(request, passkey, state, answer)
        _count(passkey, count, request)
    except webauthn.Invalid as error:
        owner = passkey.user if passkey else user
        record.write(
            action="session.passkey_refused", by=None, target=f"user:{owner.pk}" if owner else "", request=request
        )
        text = _("This passkey is not known here or could not be verified. Try again, or sign in otherwise.")
        raise Refused(text) from error
    return passkey.user


def _stored(digest: str, user: User | None) -> Passkey | None:
    rows = Passkey.objects.filter(digest=digest, user__is_active=True).select_related("user")
    return (rows if user is None else rows.filter(user=user)).first()


def _count(passkey: Passkey, count: int, request: HttpRequest) -> None:
    """Store the use. Raises Refused for a counter that fell behind: there is a copy of the passkey."""
    rows = Passkey.objects.filter(pk=passkey.pk)
    if count or passkey.sign_count:
        rows = rows.filter(sign_count__lt=count)
    if not rows.update(sign_count=count, last_used_at=timezone.now()):
        target = f"user:{passkey.user_id}"
        record.write(action="session.passkey_refused", by=None, target=target, request=request, count=count)
        raise Refused(_("This passkey may have been copied: it was used more often than it says. Sign in otherwise."))


def _offer(options: Any, state: list[Any]) -> HttpResponse:
    response = JsonResponse(options, headers={"Cache-Control": "no-store"})
    _COOKIE.put(response, state)
    return response


def _state(request: HttpRequest, purpose: str, user_id: int) -> dict[str, Any]:
    """What this browser was asked to sign, once. Raises Refused."""
    late = Refused(_("This took too long, or was begun in another browser. Try again."))
    value = _COOKIE.read(request)
    if value is None:
        raise late
    given, owner, state = value
    if (given, owner) != (purpose, user_id) or not _is_first_use(str(state["challenge"])):
        raise late
    return cast(dict[str, Any], state)


def _is_first_use(challenge: str) -> bool:
    key = f"accounts:passkey-challenge:{hashlib.sha256(challenge.encode()).hexdigest()}"
    try:
        return cache.add(key, 1, 2 * _SECONDS)
    except redis.RedisError:
        # As for passwords: whoever has to mend the machine gets in. The answer is still verified.
        return True


def _answer(request: HttpRequest) -> Any:
    """What the browser sent. Raises Refused."""
    try:
        return read_json(request.POST.get("credential", "")[:_LONGEST_ANSWER].encode())
    except ValueError:
        raise Refused(_("The browser sent no passkey. Try again.")) from None
