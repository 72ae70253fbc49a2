"""The user model."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def refuse_capitals_beyond_ascii(name: str) -> None:
    """Raise ValidationError: SQLite folds the case of a–z only, so `Änna` and `änna` would be two users there."""
    beyond = "".join(letter for letter in name if not letter.isascii())
    if beyond != beyond.lower():
        raise ValidationError(_("Capital letters other than A–Z are not supported. Use lowercase letters instead."))


class SteamSource(models.TextChoices):
    """Who says that a Steam ID is a user's. What users only typed gives them no rights."""

    STEAM = "steam", _("Confirmed by Steam")
    ADMIN = "admin", _("Entered by an admin")
    USER = "user", _("Not confirmed")


class UserQuerySet(models.QuerySet["User"]):
    def named(self, name: str) -> Self:
        """The user with this name, ignoring case."""
        return self.filter(username__iexact=self.model.normalize_username(name).lower())

    def active(self) -> Self:
        return self.filter(is_active=True)

    def admins(self) -> Self:
        return self.active().filter(is_admin=True)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    def create_user(self, username: str, password: str | None = None, **fields: Any) -> User:
        user: User = self.model(username=self.model.normalize_username(username), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        user: User = self.named(username or "").get()
        return user


class User(AbstractBaseUser):
    """A user account. Usernames are unique regardless of case."""

    username = models.CharField(
        _("username"),
        max_length=64,
        unique=True,
        validators=[UnicodeUsernameValidator(), refuse_capitals_beyond_ascii],
        error_messages={"unique": _("This username is taken. Choose another one.")},
    )
    is_admin = models.BooleanField(_("admin"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    # The time zone in which pages show moments; empty: that of the browser.
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, editable=False)
    # The code of a language in settings.LANGUAGES; empty: the one that the browser asks for.
    language = models.CharField(_("language"), max_length=16, blank=True, editable=False)
    # The Steam ID of 64 bits; `steam_source` is who says that it is this user's.
    steam_id = models.PositiveBigIntegerField(_("Steam ID"), null=True, blank=True, editable=False)
    steam_source = models.CharField(max_length=8, choices=SteamSource.choices, blank=True, editable=False)
    # Since when a second factor is asked for; null without one. Kept here, so that a request needs no other row.
    second_factor_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # Whether rights were taken from this object, but not from its row.
    is_limited = False

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"

    class Meta:
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="user_name_unique_in_any_case",
                violation_error_message=_("This username is taken. Choose another one."),
            ),
            models.UniqueConstraint(
                fields=["steam_id"], condition=Q(steam_source="steam"), name="confirmed_steam_id_of_one_user"
            ),
            models.CheckConstraint(
                condition=Q(steam_id=None, steam_source="")
                | Q(steam_id__isnull=False, steam_source__in=["steam", "admin", "user"]),
                name="steam_id_has_a_source",
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def trusted_steam_id(self) -> int | None:
        """The Steam ID if Steam or an admin says that it is this user's."""
        return self.steam_id if self.steam_source in {SteamSource.STEAM, SteamSource.ADMIN} else None

    def without_admin_rights(self) -> User:
        """This user as an API token below the scope `admin` acts: never as an admin. It cannot be saved."""
        if not self.is_admin:
            return self
        limited = copy.copy(self)
        limited.is_admin, limited.is_limited = False, True
        return limited

    def save(self, *args: Any, **options: Any) -> None:
        if self.is_limited:
            raise ValueError("A user without the rights that are stored must not be stored.")
        super().save(*args, **options)

    # Django's admin calls these three; all other permissions are in the permissions module of each app.
    @property
    def is_staff(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_active and self.is_admin

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_admin
