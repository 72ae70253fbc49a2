"""Authentication by session key or API token, also outside of a Django request (used by the streams)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from django.contrib.auth import get_user
from django.http import HttpRequest
from django.utils import timezone

from accounts import secrets
from accounts.factors import second_step
from accounts.models import ApiToken, User
from accounts.models.tokens import PREFIX, Scope
from accounts.sessions import SessionStore
from left4me.audit import record


def user_from_session(session_key: str) -> User | None:
    """The user of this session; None if it has ended or lacks a second step, or if its user is inactive."""
    # Django's own check (backend, active, password unchanged since) uses only the request's session.
    session = SessionStore(session_key)
    user = get_user(cast(HttpRequest, SimpleNamespace(session=session)))
    return user if isinstance(user, User) and not second_step.is_missing(user, session) else None


def user_from_token(raw: str, *, request: HttpRequest | None = None) -> tuple[User, str] | None:
    """The token's user and scope; None if the token is unknown, revoked or expired, or its user is inactive.

    Below the scope `admin` the user has no admin rights, so that no other code has to think of scopes.
    """
    if not raw.startswith(PREFIX):
        return None
    now = timezone.now()
    token = ApiToken.objects.usable(now).select_related("user").filter(digest=secrets.digest(raw)).first()
    if token is None:
        return None
    if token.was_used(now):
        record.write(action="token.use", by=token.user, target=f"token:{token.pk}", request=request, name=token.name)
    user = token.user if token.scope == Scope.ADMIN else token.user.without_admin_rights()
    return user, token.scope
