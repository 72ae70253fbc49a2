"""Hosts, the machines that run game servers: what is known of their game, and the tokens to fetch overlays with."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.http.request import split_domain_port
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from left4me.core import moments
from left4me.core.machine_backups import LATE_AFTER
from left4me.core.natural_order import NaturalOrder
from left4me.core.redis import keys
from left4me.core.version import VERSION, is_older
from left4me.core.web.ids import address

# A host reports every LEFT4ME_STATUS_SECONDS; it counts as down after several missed reports in a row.
_LEAST_SILENCE_SECONDS = 30
_MISSED_REPORTS = 4

TOKEN_PREFIX = "l4h_"  # noqa: S105 -- how a token begins, not a token
# The precision of "last used": one write in this time instead of one for each request.
_TOKEN_USED_EVERY = timedelta(minutes=5)

_PORT = [MinValueValidator(1024), MaxValueValidator(65535)]


class UpdatePolicy(models.TextChoices):
    """What happens by itself when Steam has a newer build of the game."""

    TELL = "tell", _("Only tell me")
    INSTALL = "install", _("Install it beside the running version")
    WHEN_EMPTY = "when_empty", _("Install it, and restart each server when it is empty")
    AT_TIME = "at_time", _("Install it, and restart the servers at a set time")


class Host(models.Model):
    """One machine. Its Celery queue is `host.<name>`; `facts` holds what it reports about itself."""

    name = models.SlugField(_("name"), max_length=63, unique=True)
    address = models.CharField(
        _("public address"),
        max_length=255,
        blank=True,
        help_text=_("Address that players connect to. Leave blank to use this site's address."),
    )
    first_port = models.PositiveIntegerField(_("first port"), default=27015, validators=_PORT)
    last_port = models.PositiveIntegerField(_("last port"), default=27115, validators=_PORT)
    is_enabled = models.BooleanField(_("accepts new servers"), default=True)
    update_policy = models.CharField(
        _("when a game update is available"), max_length=16, choices=UpdatePolicy.choices, default=UpdatePolicy.TELL
    )
    update_time = models.TimeField(
        _("restart at"), default=time(5, 0), help_text=_("Players are warned 10, 5 and 1 minutes before.")
    )
    update_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[moments.check_zone])
    update_at_once = models.PositiveSmallIntegerField(
        _("restarts at the same time"),
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text=_("At most this many servers restart at once."),
    )
    last_seen_at = models.DateTimeField(_("last seen"), null=True, blank=True, editable=False)
    version = models.CharField(_("left4me version"), max_length=64, blank=True, editable=False)
    game_version = models.CharField(_("game version"), max_length=64, blank=True, editable=False)
    facts = models.JSONField(_("facts"), default=dict, blank=True, editable=False)
    # Counts the keys that passwords of its servers were encrypted with. 0 is that of the web, for the web's own host.
    key_number = models.PositiveIntegerField(default=0, editable=False)
    # Whether its machine may still have the web's key: older releases gave it to every host.
    knows_web_key = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = [NaturalOrder("name")]
        constraints = [
            models.CheckConstraint(
                condition=Q(first_port__gte=1024, last_port__lte=65535, first_port__lte=F("last_port")),
                name="host_ports_are_a_range",
                violation_error_message=_("Choose ports from 1024 to 65535; the last cannot be below the first."),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return address("servers:host", self.pk)

    def clean(self) -> None:
        super().clean()
        if ":" in self.address:
            words = _("Players reach games over IPv4 only. Enter an IPv4 address or a name, without a port.")
            raise ValidationError({"address": words})

    @property
    def key_name(self) -> str:
        """The name of the key that its secrets are encrypted with (`left4me/core/secrets.py`)."""
        return f"host-{self.pk}.{self.key_number}" if self.key_number else ""

    def join_address(self, port: int, *, site: str) -> str:
        """What players enter to join the server on this port; `site` is the Host header of the site's page."""
        name = self.address or split_domain_port(site.lower())[0] or site
        # Games have no IPv6, and whoever reads the page on the machine of the game can use its other address.
        host = "127.0.0.1" if name == "[::1]" else name
        return f"{host}:{port}"

    @property
    def ports(self) -> range:
        return range(self.first_port, self.last_port + 1)

    @property
    def queue(self) -> str:
        return keys.host_queue(self.name)

    def is_down(self, now: datetime) -> bool:
        """Whether its last report is too old to describe the present. A host that never reported is down."""
        return self.last_seen_at is None or now - self.last_seen_at > silence()

    @property
    def last_check(self) -> GameCheck | None:
        """What is known about the newest build of the game; None before the first check."""
        try:
            return self.game_check
        except ObjectDoesNotExist:
            return None

    @property
    def installed_at(self) -> datetime | None:
        """When the version of the game that servers start with was installed; None if the host has not told."""
        versions = {version["id"]: version["installed_at"] for version in self.facts.get("versions", [])}
        told = versions.get(self.game_version)
        return datetime.fromisoformat(told) if told else None

    @property
    def update_is_wanted(self) -> bool:
        """Whether Steam is known to have a newer build than servers start with, and it was not rolled back."""
        return self.last_check is not None and self.last_check.is_wanted_over(self.game_version)

    @property
    def refusal(self) -> str:
        """Its own reason for taking no jobs although it is up; empty when it takes jobs."""
        return str(self.facts.get("refusal", ""))

    @property
    def disk_free(self) -> int | None:
        """The free bytes that it reported last; None before its first report."""
        free = self.facts.get("disk", {}).get("free")
        return None if free is None else int(free)

    @property
    def disk_is_low(self) -> bool:
        return self.disk_free is not None and self.disk_free < low_disk_bytes()

    @property
    def folder_bytes(self) -> dict[str, int]:
        """What each folder of its data directory took when it was measured; empty before that."""
        measured: dict[str, int] = (self.facts.get("folders") or {}).get("sizes", {})
        return measured

    @property
    def backups_machine(self) -> bool:
        """Whether the whole machine can be backed up: the web's own, where `deploy/install` set it up."""
        return bool(self.facts.get("backup"))

    def backup_is_late(self, now: datetime) -> bool:
        """Whether the timer makes backups of the machine every night, and the newest is older than that."""
        told = self.facts.get("backup") or {}
        return bool(told.get("is_nightly")) and now - datetime.fromisoformat(told["since"]) > LATE_AFTER

    def trouble(self, now: datetime) -> str:
        """Why it carries out no jobs now; empty when it does."""
        if self.last_seen_at is None:
            return gettext("never connected")
        if self.is_down(now):
            return gettext("offline since %(moment)s") % {"moment": moments.second(self.last_seen_at)}
        return gettext("not accepting jobs: %(why)s") % {"why": self.refusal} if self.refusal else ""

    def release_note(self) -> str:
        """A note about its release when it differs from the web's; empty when it is the same or unknown."""
        if not self.version or self.version == VERSION:
            return ""
        values = {"theirs": self.version, "ours": VERSION}
        if is_older(self.version, than=VERSION):
            return (
                gettext(
                    "This host runs an older release (%(theirs)s; the web server runs %(ours)s). To update it, run "
                    "on that machine: left4mectl upgrade"
                )
                % values
            )
        return gettext("This host runs another release (%(theirs)s; the web server runs %(ours)s).") % values


def silence() -> timedelta:
    """The time without a report after which a host counts as down."""
    return timedelta(seconds=max(_LEAST_SILENCE_SECONDS, _MISSED_REPORTS * settings.LEFT4ME_STATUS_SECONDS))


def low_disk_bytes() -> int:
    """A disk with less free bytes than this needs attention."""
    return int(settings.LEFT4ME_DISK_LOW_GB * 1_000_000_000)


class GameCheck(models.Model):
    """What is known about the newest build of a host's game, when it was asked for, and how.

    It is a table of its own, because the worker of the host writes it.
    """

    class Source(models.TextChoices):
        STEAM = "steam", _("SteamCMD")
        SERVER = "server", _("a running server")
        SIMULATED = "simulated", _("the simulated game")

    host = models.OneToOneField(Host, on_delete=models.CASCADE, primary_key=True, related_name="game_check")
    newest_build = models.CharField(max_length=64, blank=True)
    # When this build was seen for the first time.
    noticed_at = models.DateTimeField(null=True)
    # A version that a server running it has called out of date.
    outdated_version = models.CharField(max_length=64, blank=True)
    source = models.CharField(max_length=16, choices=Source.choices, blank=True)
    # A build that was rolled back: it is not installed again by itself.
    left_build = models.CharField(max_length=64, blank=True)
    checked_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    # When somebody asked for a check; it is under way until something was tried after that.
    asked_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    failures = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.host_id}: {self.newest_build}"

    def is_newer_than(self, version: str) -> bool:
        """Whether there is a newer build than that of the installed `version`; False where nothing is installed."""
        if not version:
            return False
        return version == self.outdated_version or self.has_other_build_than(version)

    def has_other_build_than(self, version: str) -> bool:
        """Whether the newest build is known and is not that of `version`, whose id ends with its build."""
        return bool(self.newest_build) and not version.endswith(f"-{self.newest_build}")

    def is_wanted_over(self, version: str) -> bool:
        """Whether the update of `version` shall be installed: one that was rolled back is not asked for again."""
        if not version:
            return False
        return version == self.outdated_version or (self.has_other_build_than(version) and not self.is_left)

    @property
    def is_asked(self) -> bool:
        return self.asked_at is not None and (self.tried_at is None or self.tried_at < self.asked_at)

    @property
    def is_left(self) -> bool:
        """Whether the newest build was rolled back."""
        return bool(self.newest_build) and self.newest_build == self.left_build


class HostToken(models.Model):
    """The one token of a host, stored as a digest. It permits the download of overlays and nothing else.

    It is a table of its own, so that database rights can hide it from the hosts.
    """

    host = models.OneToOneField(Host, on_delete=models.CASCADE, primary_key=True, related_name="token")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.host_id}"

    def was_used(self, now: datetime) -> None:
        unused_for_long = Q(last_used_at=None) | Q(last_used_at__lt=now - _TOKEN_USED_EVERY)
        HostToken.objects.filter(unused_for_long, pk=self.pk).update(last_used_at=now)
