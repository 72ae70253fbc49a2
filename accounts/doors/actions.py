"""Actions that link accounts at other providers to a user, and unlink them. Each writes an audit entry."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Identity, User
from left4me.audit import record
from left4me.core import rows
from left4me.core.web.refusals import Refused


@transaction.atomic
def link(*, user: User, door: str, issuer: str, subject: str, label: str, request: HttpRequest) -> None:
    """Let this identity sign in as the user, in place of an earlier one. Raises Refused if it is another user's."""
    rows.take_turns(user.pk)
    if Identity.objects.filter(issuer=issuer, subject=subject).exclude(user=user).exists():
        raise Refused(_("It is linked to another user here. Unlink it there first."))
    user.identities.filter(door=door).delete()
    Identity.objects.create(user=user, door=door, issuer=issuer, subject=subject, label=label)
    record.write(action="identity.link", by=user, target=f"user:{user.pk}", request=request, door=door, name=label)


@transaction.atomic
def unlink(*, user: User, identity: Identity, by: User | None, request: HttpRequest | None = None) -> None:
    identity.delete()
    details = {"door": identity.door, "name": identity.label}
    record.write(action="identity.unlink", by=by, target=f"user:{user.pk}", request=request, **details)


def user_of(*, issuer: str, subject: str) -> User | None:
    """The active user that this identity signs in, which is then stored as used."""
    identity = Identity.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    if identity is None or not identity.user.is_active:
        return None
    Identity.objects.filter(pk=identity.pk).update(last_used_at=timezone.now())
    return identity.user
