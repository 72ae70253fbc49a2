"""Codes of authenticator apps (TOTP, RFC 6238): six digits that change every 30 seconds."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

import pyotp
from django.db.models import Q
from django.utils.crypto import constant_time_compare

from accounts.models import AuthenticatorApp, User
from left4me.core import secrets

logger = logging.getLogger(__name__)

ISSUER: Final = "left4me"
_STEP_SECONDS: Final = 30
# Codes of the step before and after are accepted: clocks of telephones differ.
_STEPS_APART: Final = 1
# How often a code may be tried while nothing counts attempts.
SLOWLY: Final = timedelta(seconds=10)


def new_secret() -> str:
    """A secret of 160 bits in base32, as apps take it."""
    return pyotp.random_base32()


def address(secret: str, *, username: str, site: str) -> str:
    """The `otpauth://` address that an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=f"{ISSUER} {site}")


def picture(text: str) -> str:
    """The QR code as a `data:` address. It brings its own light margin, so that the dark theme can be scanned too."""
    # Only here, because it takes a MiB of memory and is needed when somebody adds an app.
    import segno

    return segno.make(text, error="m").svg_data_uri(scale=4, border=3, light="#fff")


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step that this code belongs to; None for a wrong one."""
    totp, current = pyotp.TOTP(secret), int(now.timestamp()) // _STEP_SECONDS
    found = None
    for step in range(current - _STEPS_APART, current + _STEPS_APART + 1):
        # All are compared, so that the time taken tells nothing.
        if constant_time_compare(totp.generate_otp(step), code):
            found = step
    return found


def accept(user: User, code: str, now: datetime) -> bool:
    """Whether the code is one that the user's app shows now and that was not used before; from now on it was."""
    app = AuthenticatorApp.objects.filter(user=user).first()
    if app is None:
        return False
    try:
        step = step_of(secrets.unseal(app.secret_sealed), code, now)
    except secrets.Unreadable as fault:
        logger.warning("The authenticator app of user %s cannot be checked: %s", user.pk, fault)
        return False
    if step is None:
        return False
    # Of two requests with the same code, one changes the row.
    newer = AuthenticatorApp.objects.filter(pk=app.pk, last_step__lt=step)
    return newer.update(last_step=step, last_used_at=now) == 1


def take_turn(user: User, now: datetime) -> bool:
    """Whether a code of this user may be tried while Redis counts no attempts: once in SLOWLY."""
    free = Q(tried_at=None) | Q(tried_at__lte=now - SLOWLY)
    return AuthenticatorApp.objects.filter(free, user=user).update(tried_at=now) == 1
