"""What signs in beside the password: authenticator apps, passkeys, recovery codes, and accounts at other providers."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.core import names


class AuthenticatorApp(models.Model):
    """An app that shows codes (TOTP). Checking them needs the secret, so it is encrypted and not digested."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="authenticator_app")
    secret_sealed = models.TextField(editable=False)
    # The time step of the last code that was accepted: no code works twice.
    last_step = models.BigIntegerField(default=0, editable=False)
    # When a code was last tried while attempts could not be counted in Redis.
    tried_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "authenticator app"

    def __str__(self) -> str:
        return f"authenticator app of {self.user_id}"


class Passkey(models.Model):
    """A key pair that a device or a password manager keeps (WebAuthn). What is stored is public."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(_("name"), max_length=names.LONGEST, validators=[names.is_plain])
    # Of the credential's id, which is long, and by which a sign-in without a username finds its user.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The id and the public key, as the authenticator gave them.
    credential = models.BinaryField(editable=False)
    # How often an authenticator says that it was used; 0 for those that do not count. A copy falls behind.
    sign_count = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["created_at", "pk"]

    def __str__(self) -> str:
        return self.name


class RecoveryCodeQuerySet(models.QuerySet["RecoveryCode"]):
    def unused(self) -> Self:
        return self.filter(used_at__isnull=True)

    def claim(self, *, digest: str, now: datetime, address: str) -> bool:
        """Mark the code as used. Return False if there is none, or if it was used before."""
        return self.unused().filter(digest=digest).update(used_at=now, used_from=address or None) == 1


class RecoveryCode(models.Model):
    """A code that works once instead of any other factor. Only its digest is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    used_at = models.DateTimeField(null=True, editable=False)
    used_from = models.GenericIPAddressField(null=True, editable=False)

    objects = RecoveryCodeQuerySet.as_manager()

    class Meta:
        ordering = ["-used_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once_per_user")]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class Identity(models.Model):
    """Whoever proves to be `subject` at `issuer` signs in as the user, without the password."""

    class Door(models.TextChoices):
        OPENID_CONNECT = "oidc", _("OpenID Connect")
        STEAM = "steam", _("Steam")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identities")
    door = models.CharField(max_length=8, choices=Door, editable=False)
    issuer = models.CharField(max_length=500, editable=False)
    subject = models.CharField(max_length=255, editable=False)
    # What people know it by; it may change at the provider.
    label = models.CharField(max_length=100, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["door", "pk"]
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="identity_of_one_user"),
            models.UniqueConstraint(fields=["user", "door"], name="one_identity_per_door"),
        ]

    def __str__(self) -> str:
        return f"{self.get_door_display()}: {self.label}"
