"""Actions that change the second factors of a user. Each writes an audit entry with the user who did it."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.factors import apps, recovery_codes, second_step
from accounts.models import AuthenticatorApp, Passkey, User
from left4me.audit import record
from left4me.core import rows, secrets
from left4me.core.web.refusals import Invalid, Refused

MOST_PASSKEYS = 20


@transaction.atomic
def add_app(*, user: User, secret: str, code: str, request: HttpRequest) -> list[str]:
    """Use an authenticator app from now on, instead of an earlier one. Raises Refused if `code` is not what it shows.

    Returns new recovery codes if the user had no second factor before, otherwise none.
    """
    step = apps.step_of(secret, code, timezone.now())
    if step is None:
        raise Refused(_("Wrong code. Check the clock of the device, then enter the code that it shows now."))
    rows.take_turns(user.pk)
    AuthenticatorApp.objects.filter(user=user).delete()
    AuthenticatorApp.objects.create(user=user, secret_sealed=secrets.seal(secret), last_step=step)
    record.write(action="factor.add_app", by=user, target=f"user:{user.pk}", request=request)
    return _begin(user, request)


@transaction.atomic
def remove_app(*, user: User, request: HttpRequest) -> None:
    """Forget the authenticator app. Raises Refused if it is the last factor and the site demands one."""
    rows.take_turns(user.pk)
    if not AuthenticatorApp.objects.filter(user=user).delete()[0]:
        return
    _end_if_last(user)
    record.write(action="factor.remove_app", by=user, target=f"user:{user.pk}", request=request)


@transaction.atomic
def add_passkey(*, user: User, passkey: Passkey, request: HttpRequest) -> list[str]:
    """Store a passkey that was just made for the user. Raises ValidationError.

    Returns new recovery codes if the user had no second factor before, otherwise none.
    """
    rows.take_turns(user.pk)
    if user.passkeys.count() >= MOST_PASSKEYS:
        raise Invalid(
            _("You already have %(most)d passkeys, the most that one user can have. Remove those you no longer use.")
            % {"most": MOST_PASSKEYS}
        )
    rows.save_clean(passkey)
    record.write(action="factor.add_passkey", by=user, target=f"user:{user.pk}", request=request, name=passkey.name)
    return _begin(user, request)


@transaction.atomic
def remove_passkey(*, user: User, passkey: Passkey, request: HttpRequest) -> None:
    """Forget a passkey. Raises Refused if it is the last factor and the site demands one."""
    rows.take_turns(user.pk)
    passkey.delete()
    _end_if_last(user)
    record.write(action="factor.remove_passkey", by=user, target=f"user:{user.pk}", request=request, name=passkey.name)


@transaction.atomic
def renew_codes(*, user: User, request: HttpRequest) -> list[str]:
    """Replace the recovery codes. Returns the new ones, which are not stored. Raises Refused without a factor."""
    rows.take_turns(user.pk)
    if not has_factor(user):
        raise Refused(_("Set up an authenticator app or a passkey first. Recovery codes are for when it is lost."))
    codes = recovery_codes.renew(user)
    record.write(action="factor.renew_codes", by=user, target=f"user:{user.pk}", request=request)
    return codes


@transaction.atomic
def reset(*, user: User, by: User | None, request: HttpRequest | None = None) -> None:
    """Forget all second factors of the user and end their sessions. A password is enough to sign in again."""
    rows.take_turns(user.pk)
    AuthenticatorApp.objects.filter(user=user).delete()
    user.passkeys.all().delete()
    _store(user, None)
    user.recovery_codes.all().delete()
    user.sessions.all().delete()
    record.write(action="factor.reset", by=by, target=f"user:{user.pk}", request=request, name=user.username)


def has_factor(user: User) -> bool:
    """Whether the user has a factor other than the recovery codes, which only stand in for another."""
    return AuthenticatorApp.objects.filter(user=user).exists() or user.passkeys.exists()


def _begin(user: User, request: HttpRequest) -> list[str]:
    # This browser has just shown the new factor. Other sessions of the user are asked at their next request.
    second_step.was_passed(request.session)
    user.refresh_from_db(fields=["second_factor_at"])
    if user.second_factor_at is not None:
        return []
    _store(user, timezone.now())
    return recovery_codes.renew(user)


def _end_if_last(user: User) -> None:
    if has_factor(user):
        return
    if second_step.is_demanded(user):
        raise Refused(
            _("This site requires a second factor (LEFT4ME_SECOND_FACTOR=%(value)s). Set up another one first.")
            % {"value": settings.LEFT4ME_SECOND_FACTOR}
        )
    _store(user, None)
    user.recovery_codes.all().delete()


def _store(user: User, since: datetime | None) -> None:
    user.second_factor_at = since
    user.save(update_fields=["second_factor_at"])
