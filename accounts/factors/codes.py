"""Checks the code that somebody typed: that of an authenticator app, or a recovery code. Attempts are throttled."""

from __future__ import annotations

import re

from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import browsers
from accounts.factors import apps, recovery_codes
from accounts.models import User
from accounts.throttle import THROTTLED_ENTRIES, CodeAttempt
from left4me.audit import record
from left4me.core.net.addresses import client_address
from left4me.core.redis import rate_limit
from left4me.core.redis.rate_limit import RateLimited


class Means(models.TextChoices):
    """What a code was."""

    APP = "app", _("authenticator app")
    RECOVERY_CODE = "recovery_code", _("recovery code")
    PASSKEY = "passkey", _("passkey")


def check(user: User, typed: str, *, request: HttpRequest) -> Means | None:
    """What the code is if it is right; None if it is wrong, which is audited. Raises RateLimited."""
    code = re.sub(r"[\s-]", "", typed).lower()[: recovery_codes.LENGTH + 1]
    now, address = timezone.now(), client_address(request)
    attempt = CodeAttempt(user.pk, address, browsers.known_mark(request, user.username))
    means = None
    if len(code) == recovery_codes.LENGTH:
        # Cannot be guessed, so that those who guess codes of the app cannot keep the owner from using one.
        attempt.begin_long()
        if recovery_codes.accept(user, code, now=now, address=address):
            means = Means.RECOVERY_CODE
    else:
        _begin(attempt, user, request)
        if apps.accept(user, code, now):
            means = Means.APP
            attempt.succeeded()
    if means is None:
        record.write(action="session.code_refused", by=None, target=f"user:{user.pk}", request=request)
        return None
    if means is Means.RECOVERY_CODE:
        left = user.recovery_codes.unused().count()
        record.write(action="factor.use_code", by=user, target=f"user:{user.pk}", request=request, left=left)
    return means


def _begin(attempt: CodeAttempt, user: User, request: HttpRequest) -> None:
    try:
        is_counted = attempt.begin()
    except RateLimited:
        (entries,) = rate_limit.add((THROTTLED_ENTRIES, f"code\n{user.pk}\n{attempt.address}"))
        if not entries.is_over:
            record.write(action="session.throttled", by=None, target=f"user:{user.pk}", request=request)
        raise
    if not is_counted and not apps.take_turn(user, timezone.now()):
        raise RateLimited(int(apps.SLOWLY.total_seconds()))
