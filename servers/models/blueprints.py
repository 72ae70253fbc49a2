"""Blueprints: the overlays, launch arguments and server.cfg lines that servers are made of."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Count, Prefetch, Q, prefetch_related_objects
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.core import names
from left4me.core.natural_order import NaturalOrder
from left4me.core.web.ids import address
from overlays.models import Overlay
from servers.models.connect_ports import DEFAULT_CONNECT_PORTS, is_connect_ports
from servers.models.game_texts import is_game_text


class BlueprintQuerySet(models.QuerySet["Blueprint"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        return self if getattr(user, "is_admin", False) else self.filter(owner_id=user.pk)

    def counted(self) -> Self:
        """With `server_count` and `layer_count`."""
        counts = {"server_count": Count("servers", distinct=True), "layer_count": Count("links", distinct=True)}
        # Grouping drops the model's own order.
        return self.annotate(**counts).order_by(NaturalOrder("name"), "pk")

    def with_layers(self) -> Self:
        """With everything that `layers` reads, in two queries for any number of blueprints."""
        return self.prefetch_related(layers())


class Blueprint(models.Model):
    """An ordered stack of overlays, launch arguments and server.cfg lines; private to its owner.

    Servers are linked to it: a change applies at a server's next start.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="blueprints"
    )
    name = models.CharField(_("name"), max_length=names.LONGEST, validators=[names.is_plain])
    description = models.TextField(_("description"), max_length=2000, blank=True)
    arguments = models.TextField(
        _("launch arguments"),
        blank=True,
        help_text=_("One per line, with its values. You can also paste a whole launch line or start script."),
    )
    config = models.TextField(_("server.cfg"), blank=True, help_text=_("One command per line."))
    connect_ports = models.CharField(
        _("outgoing ports"),
        max_length=500,
        blank=True,
        default=DEFAULT_CONNECT_PORTS,
        validators=[is_connect_ports],
        help_text=_("TCP ports that the game may connect to. Plugins may need more for a database or a web API."),
    )
    allow_ptrace = models.BooleanField(
        _("allow crash reporters"),
        default=False,
        help_text=_("Plugins such as Accelerator need ptrace to write crash dumps."),
    )
    motd = models.TextField(_("message of the day"), blank=True, default="", validators=[is_game_text])
    banner = models.TextField(_("banner"), blank=True, default="", validators=[is_game_text])
    overlays: models.ManyToManyField[Overlay, BlueprintOverlay] = models.ManyToManyField(
        Overlay, through="BlueprintOverlay", related_name="blueprints"
    )
    # Incremented by every edit, also of the stack, so that the second of two concurrent edits is refused.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BlueprintQuerySet.as_manager()

    class Meta:
        ordering = [NaturalOrder("name"), "pk"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "owner",
                name="blueprint_name_unique_per_owner",
                violation_error_code="name_taken",
                violation_error_message=_("You already have a blueprint with this name. Choose another name."),
            ),
            models.CheckConstraint(condition=~Q(name=""), name="blueprint_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return address("servers:blueprint", self.pk)

    @property
    def layers(self) -> list[Overlay]:
        """Its overlays, the topmost first. Rows without `with_layers` read them when they are first asked for."""
        prefetch_related_objects([self], layers())
        return [link.overlay for link in sorted(self.links.all(), key=lambda link: link.position)]


def layers(links: str = "links") -> Prefetch[str]:
    """The prefetch of what `Blueprint.layers` reads, for many blueprints at once; `links` leads there."""
    return Prefetch(links, queryset=BlueprintOverlay.objects.select_related("overlay").order_by("position"))


class BlueprintOverlay(models.Model):
    """One overlay in a blueprint's stack. Position 0 is the topmost, whose files win."""

    blueprint = models.ForeignKey(Blueprint, on_delete=models.CASCADE, related_name="links")
    overlay = models.ForeignKey(Overlay, on_delete=models.PROTECT, related_name="in_blueprints")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["blueprint", "overlay"], name="overlay_once_per_blueprint"),
            models.UniqueConstraint(fields=["blueprint", "position"], name="one_overlay_per_position"),
        ]

    def __str__(self) -> str:
        return f"{self.blueprint_id}: {self.position} {self.overlay_id}"


class BlueprintVersion(models.Model):
    """A blueprint as it was saved once. `content` holds its fields, and its overlays with their names and versions."""

    blueprint = models.ForeignKey(Blueprint, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("saved by"), null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    content: models.JSONField[dict[str, Any]] = models.JSONField()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["blueprint", "number"], name="one_version_per_blueprint_and_number")
        ]

    def __str__(self) -> str:
        return f"{self.blueprint_id}: {self.number}"


class StarterBlueprint(models.Model):
    """A template for new blueprints; admins edit it or stop offering it."""

    name = models.CharField(_("name"), max_length=names.LONGEST, unique=True, validators=[names.is_plain])
    description = models.TextField(_("description"), max_length=2000, blank=True)
    arguments = models.TextField(_("launch arguments"), blank=True)
    config = models.TextField(_("server.cfg"), blank=True)
    is_offered = models.BooleanField(_("offered"), default=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name
