"""Who may do what inside the games of a blueprint or of a server: admins, reserved slots, and who may join at all."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from servers.models.blueprints import Blueprint
from servers.models.servers import Server

HIGHEST_IMMUNITY = 99
MOST_RESERVED_SLOTS = 24

# SourceMod's flags, as its own admin_levels.cfg defines them.
FLAGS = {
    "a": _("Reserved slot"),
    "b": _("Generic admin, needed for most commands"),
    "c": _("Kick players"),
    "d": _("Ban players"),
    "e": _("Unban players"),
    "f": _("Slay and slap players"),
    "g": _("Change the map"),
    "h": _("Change most settings (cvars)"),
    "i": _("Execute config files"),
    "j": _("Private chat and messages to everyone"),
    "k": _("Start votes"),
    "l": _("Set a server password"),
    "m": _("Use RCON commands"),
    "n": _("Change sv_cheats and use cheat commands"),
    "o": _("Custom 1, defined by plugins"),
    "p": _("Custom 2, defined by plugins"),
    "q": _("Custom 3, defined by plugins"),
    "r": _("Custom 4, defined by plugins"),
    "s": _("Custom 5, defined by plugins"),
    "t": _("Custom 6, defined by plugins"),
    "z": _("All of them (root)"),
}


class OfBlueprintOrServer(models.Model):
    """A row of one blueprint, which holds for all its servers, or of one server."""

    blueprint = models.ForeignKey(Blueprint, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    server = models.ForeignKey(Server, null=True, blank=True, on_delete=models.CASCADE, related_name="+")

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(blueprint=None, server__isnull=False) | Q(blueprint__isnull=False, server=None),
                name="%(class)s_of_one_thing",
            )
        ]

    @property
    def of(self) -> Blueprint | Server:
        """The blueprint or the server whose row it is."""
        owner = self.server or self.blueprint
        assert owner is not None  # noqa: S101 -- a constraint of the database
        return owner

    @classmethod
    def place(cls, of: Blueprint | Server) -> dict[str, Blueprint | Server]:
        """The values that make a row that of `of`; also the lookup of such rows."""
        return {"server": of} if isinstance(of, Server) else {"blueprint": of}


class GamePersonQuerySet(models.QuerySet["GamePerson"]):
    def of(self, of: Blueprint | Server) -> Self:
        return self.filter(**GamePerson.place(of))


class GamePerson(OfBlueprintOrServer):
    """A person with rights in games: a user, whose account holds the Steam ID, or a Steam ID with a name."""

    class Role(models.TextChoices):
        ADMIN = "admin", _("Admin")
        MODERATOR = "moderator", _("Moderator")
        RESERVED = "reserved", _("Reserved slot only")
        PLAYER = "player", _("May join, no rights")
        CUSTOM = "custom", _("Chosen flags")

    ROLE_FLAGS = {Role.ADMIN: "z", Role.MODERATOR: "abcdefgjk", Role.RESERVED: "a", Role.PLAYER: ""}

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), null=True, blank=True, on_delete=models.CASCADE
    )
    steam_id = models.PositiveBigIntegerField(_("Steam ID"), null=True, blank=True)
    name = models.CharField(_("name"), max_length=64, blank=True)
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.ADMIN)
    flags = models.CharField(
        _("flags"), max_length=26, blank=True, validators=[RegexValidator("^[a-tz]*$", _("Flags are a to t, and z."))]
    )
    immunity = models.PositiveSmallIntegerField(
        _("immunity"),
        default=0,
        validators=[MaxValueValidator(HIGHEST_IMMUNITY, _("Immunity is a number from 0 to 99."))],
    )
    until = models.DateTimeField(_("until"), null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = GamePersonQuerySet.as_manager()

    class Meta(OfBlueprintOrServer.Meta):
        ordering = ["pk"]
        constraints = [
            *OfBlueprintOrServer.Meta.constraints,
            models.CheckConstraint(
                condition=Q(user=None, steam_id__isnull=False) | Q(user__isnull=False, steam_id=None),
                name="game_person_is_user_or_steam_id",
            ),
            *(
                models.UniqueConstraint(fields=[place, who], name=f"game_person_once_per_{place}_and_{who}")
                for place in ("blueprint", "server")
                for who in ("user", "steam_id")
            ),
        ]

    def __str__(self) -> str:
        return self.name or str(self.user or self.steam_id)

    @property
    def granted_flags(self) -> str:
        return self.ROLE_FLAGS.get(self.Role(self.role), self.flags)


class GameAccess(OfBlueprintOrServer):
    """The rules of a blueprint or a server, besides its list of people."""

    team_are_admins = models.BooleanField(_("owner and operators are admins in the game"), default=False)
    whitelist = models.BooleanField(_("only listed people may join"), default=False)
    reserved_slots = models.PositiveSmallIntegerField(
        _("reserved slots"), default=0, validators=[MaxValueValidator(MOST_RESERVED_SLOTS)]
    )

    class Meta(OfBlueprintOrServer.Meta):
        constraints = [
            *OfBlueprintOrServer.Meta.constraints,
            *(
                models.UniqueConstraint(fields=[place], name=f"game_access_once_per_{place}")
                for place in ("blueprint", "server")
            ),
        ]

    def __str__(self) -> str:
        return f"rules of {self.server_id or self.blueprint_id}"


class GameAccessState(models.Model):
    """What became of the list on a running server. `digest` names what was applied to the start at `started_at`."""

    class Result(models.TextChoices):
        APPLIED = "applied", _("In effect")
        NO_SOURCEMOD = "no_sourcemod", _("SourceMod is not loaded")
        RESTART = "restart", _("Applies at the next restart")
        FAILED = "failed", _("Not applied yet")

    server = models.OneToOneField(Server, on_delete=models.CASCADE, related_name="game_access_state")
    digest = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=16, choices=Result.choices)
    detail = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.server_id}: {self.result}"

    def is_current(self, digest: str, started_at: datetime | None) -> bool:
        return self.digest == digest and self.started_at == started_at
