"""Actions that change accounts. Each writes an audit entry with the user who did it."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import login, update_session_auth_hash
from django.db import transaction
from django.dispatch import Signal
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import secrets
from accounts.factors import confirmation, second_step
from accounts.models import ApiToken, OneTimeLink, Session, SteamSource, User
from accounts.models.links import Purpose
from left4me.audit import record
from left4me.core import rows
from left4me.core.net.addresses import client_address
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure, Invalid

Refused = refusals.Refused

# Sent in the transaction that deactivates a `user`: what they know must lose its use elsewhere too.
deactivated = Signal()

PASSWORD_LINK_LIFETIME = timedelta(days=2)
MOST_TOKENS = 100


def sign_in(*, user: User, request: HttpRequest, means: str = "", has_passed_second_step: bool = False) -> None:
    """Start a session for `user` in this browser. `means` tells the audit log how it was done beside the password."""
    login(request, user)
    confirmation.was_given(request.session)
    if has_passed_second_step:
        second_step.was_passed(request.session)
    request.session.save()
    Session.objects.filter(pk=secrets.digest(request.session.session_key or "")).update(
        address=client_address(request) or None, user_agent=request.META.get("HTTP_USER_AGENT", "")[:300]
    )
    details = {"means": means} if means else {}
    record.write(action="session.start", by=user, target=f"user:{user.pk}", request=request, **details)


@transaction.atomic
def create_user(
    *, username: str, password: str | None, by: User | None, is_admin: bool = False, request: HttpRequest | None = None
) -> User:
    """Create an account. Without a password, it cannot sign in until one is set by link."""
    user = User.objects.create_user(username, password, is_admin=is_admin)
    record.write(action="user.create", by=by, target=f"user:{user.pk}", request=request, name=username, admin=is_admin)
    return user


@transaction.atomic
def sign_up(*, username: str, password: str, request: HttpRequest, invitation: OneTimeLink | None = None) -> User:
    """Create an account for the visitor and use up the invitation. Raises Refused if that was used already."""
    if invitation is not None and not OneTimeLink.objects.filter(pk=invitation.pk).claim(timezone.now()):
        raise Refused(_("This invitation has already been used. Ask an admin for a new one."))
    user = create_user(username=username, password=password, by=None, request=request)
    if invitation is not None:
        OneTimeLink.objects.filter(pk=invitation.pk).update(user=user)
    return user


@transaction.atomic
def change_password(*, user: User, password: str, request: HttpRequest) -> None:
    """Set a new password for the signed-in user and end all their other sessions."""
    user.set_password(password)
    user.save(update_fields=["password"])
    update_session_auth_hash(request, user)
    request.session.save()
    end_sessions(user=user, keep=request.session.session_key)
    record.write(action="user.password", by=user, target=f"user:{user.pk}", request=request)


@transaction.atomic
def set_password_by_link(*, link: OneTimeLink, password: str, request: HttpRequest) -> User:
    """Set the password of the link's user and end all their sessions. Raises Refused if the link was used."""
    user = link.user
    if user is None or not OneTimeLink.objects.filter(pk=link.pk).claim(timezone.now()):
        raise Refused(_("This link has already been used. Ask an admin for a new one."))
    user.set_password(password)
    user.save(update_fields=["password"])
    end_sessions(user=user)
    record.write(action="user.password_by_link", by=user, target=f"user:{user.pk}", request=request)
    return user


def set_time_zone(*, user: User, name: str) -> None:
    """Store the zone in which pages show times to the user; an empty `name` means that of the browser."""
    user.time_zone = name
    user.save(update_fields=["time_zone"])


def set_language(*, user: User, code: str) -> None:
    """Store the user's language; an empty `code` means that of the browser. It is not audited."""
    user.language = code
    user.save(update_fields=["language"])


@transaction.atomic
def link_steam_id(
    *, user: User, steam_id: int, source: SteamSource, by: User | None, request: HttpRequest | None = None
) -> None:
    """Store the user's Steam ID. Raises Refused if Steam has confirmed the same one for another user."""
    others = User.objects.exclude(pk=user.pk).filter(steam_id=steam_id, steam_source=SteamSource.STEAM)
    if others.exists():
        raise Refused(_("This Steam account is linked to another user. Unlink it there first."))
    # Whoever signs in through Steam has this Steam ID, and no other.
    user.identities.filter(door="steam").exclude(subject=str(steam_id)).delete()
    user.steam_id, user.steam_source = steam_id, source
    user.save(update_fields=["steam_id", "steam_source"])
    _record_steam_id("user.steam_link", user, by, request, steam_id=str(steam_id), source=source.value)


@transaction.atomic
def unlink_steam_id(*, user: User, by: User | None, request: HttpRequest | None = None) -> None:
    """Forget the user's Steam ID; their rights in games end, and signing in through Steam."""
    if user.steam_id is None:
        return
    user.identities.filter(door="steam").delete()
    steam_id, user.steam_id, user.steam_source = user.steam_id, None, ""
    user.save(update_fields=["steam_id", "steam_source"])
    _record_steam_id("user.steam_unlink", user, by, request, steam_id=str(steam_id))


def _record_steam_id(action: str, user: User, by: User | None, request: HttpRequest | None, **details: str) -> None:
    target = f"user:{user.pk}"
    record.write(action=action, by=by, target=target, request=request, name=user.username, **details)


def end_sessions(*, user: User, keep: str | None = None) -> int:
    """End the user's sessions, except the one with the key `keep`. Return how many ended."""
    ended = user.sessions.all() if keep is None else user.sessions.exclude(pk=secrets.digest(keep))
    return ended.delete()[0]


def revoke_session(*, session: Session, by: User, request: HttpRequest) -> None:
    session.delete()
    record.write(action="session.revoke", by=by, target=f"user:{session.user_id}", request=request)


def revoke_other_sessions(*, user: User, request: HttpRequest) -> int:
    """End all sessions of the user except this one. Return how many ended."""
    ended = end_sessions(user=user, keep=request.session.session_key)
    record.write(action="session.revoke", by=user, target=f"user:{user.pk}", request=request, others=ended)
    return ended


@transaction.atomic
def create_token(
    *,
    user: User,
    name: str,
    scope: str,
    by: User | None,
    lifetime: timedelta | None = None,
    request: HttpRequest | None = None,
) -> tuple[ApiToken, str]:
    """Create a token; returns it with its key, which is not stored and cannot be shown again.

    Raises ValidationError.
    """
    rows.take_turns(user.pk)
    if user.api_tokens.count() >= MOST_TOKENS:
        raise Invalid(
            _("You already have %(most)d tokens, the most that one user can have. Revoke those you no longer use.")
            % {"most": MOST_TOKENS},
            cure=Cure(label=_("Show tokens"), url=reverse("accounts:tokens")),
        )
    expires_at = None if lifetime is None else timezone.now() + lifetime
    token = ApiToken(user=user, name=name, scope=scope, expires_at=expires_at)
    raw = token.set_secret()
    token.full_clean(exclude=["digest", "hint"])
    token.save()
    record.write(action="token.create", by=by, target=f"token:{token.pk}", request=request, name=name, scope=scope)
    return token, raw


@transaction.atomic
def revoke_token(*, token: ApiToken, by: User, request: HttpRequest) -> None:
    target = f"token:{token.pk}"
    token.delete()
    record.write(action="token.revoke", by=by, target=target, request=request, name=token.name)


@transaction.atomic
def invite(*, by: User, note: str, lifetime: timedelta, request: HttpRequest) -> str:
    """Create an invitation. Return its secret, which is not stored and cannot be shown again."""
    raw = secrets.new()
    link = OneTimeLink.objects.create(
        purpose=Purpose.INVITATION,
        digest=secrets.digest(raw),
        note=note,
        created_by=by,
        expires_at=timezone.now() + lifetime,
    )
    record.write(action="invitation.create", by=by, target=f"link:{link.pk}", request=request, note=note)
    return raw


@transaction.atomic
def revoke_invitation(*, link: OneTimeLink, by: User, request: HttpRequest) -> None:
    target = f"link:{link.pk}"
    link.delete()
    record.write(action="invitation.revoke", by=by, target=target, request=request, note=link.note)


@transaction.atomic
def make_password_link(*, user: User, by: User, request: HttpRequest) -> str:
    """Create a link that sets the user's password, and void earlier ones. Return its secret, which is not stored."""
    user.links.filter(purpose=Purpose.PASSWORD).delete()
    raw = secrets.new()
    OneTimeLink.objects.create(
        purpose=Purpose.PASSWORD,
        digest=secrets.digest(raw),
        user=user,
        created_by=by,
        expires_at=timezone.now() + PASSWORD_LINK_LIFETIME,
    )
    record.write(action="user.password_link", by=by, target=f"user:{user.pk}", request=request, name=user.username)
    return raw


@transaction.atomic
def set_admin(*, user: User, is_admin: bool, by: User | None, request: HttpRequest | None = None) -> None:
    """Grant or remove admin rights. Raises Refused for the last admin."""
    if not is_admin:
        _check_other_admins(user)
    user.is_admin = is_admin
    user.save(update_fields=["is_admin"])
    action = "user.promote" if is_admin else "user.demote"
    record.write(action=action, by=by, target=f"user:{user.pk}", request=request, name=user.username)


@transaction.atomic
def set_active(*, user: User, is_active: bool, by: User, request: HttpRequest) -> None:
    """Activate or deactivate the user. Deactivating ends sessions at once; tokens and streams check `is_active`."""
    if not is_active:
        _check_other_admins(user)
        end_sessions(user=user)
        user.links.filter(purpose=Purpose.PASSWORD).delete()
    user.is_active = is_active
    user.save(update_fields=["is_active"])
    action = "user.activate" if is_active else "user.deactivate"
    record.write(action=action, by=by, target=f"user:{user.pk}", request=request, name=user.username)
    if not is_active:
        deactivated.send(sender=User, user=user, by=by)


def _check_other_admins(user: User) -> None:
    # Locked, so that two admins who demote each other at once cannot both succeed.
    admins = list(User.objects.select_for_update().admins().values_list("pk", flat=True))
    if admins == [user.pk]:
        raise Refused(
            _("This is the last admin. Make another user an admin first."),
            cure=Cure(label=_("Show users"), url=reverse("accounts:users")),
        )
