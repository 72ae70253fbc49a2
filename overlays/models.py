"""Overlays (directory trees mounted over the game) and the rows that describe their content."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Count, F, Q
from django.db.models.functions import Greatest, Lower
from django.utils.translation import gettext_lazy as _

from left4me.alerts.attention import Reason
from left4me.core import names
from left4me.core.natural_order import NaturalOrder
from left4me.core.web.ids import address
from workshop import inspection
from workshop.inspection import Inspection
from workshop.models import Inspected, PackedPaths, WorkshopItem


class OverlayQuerySet(models.QuerySet["Overlay"]):
    def system(self) -> Self:
        return self.filter(owner=None)

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """System overlays and the user's own; all overlays for an admin."""
        if getattr(user, "is_admin", False):
            return self
        return self.usable_by(user)

    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Overlays that a blueprint of `user` may contain. An admin sees all overlays but may not use all of them."""
        return self.filter(Q(owner=None) | Q(owner_id=user.pk))

    def counted(self) -> Self:
        """Annotate `used_by`, the number of blueprints that contain the overlay."""
        # Grouping drops the default ordering of the model.
        return self.annotate(used_by=Count("in_blueprints", distinct=True)).order_by(NaturalOrder("name"), "pk")


class Overlay(models.Model):
    """One layer over the game. System overlays (without owner) belong to the catalog that everybody may use."""

    class Kind(models.TextChoices):
        FILES = "files", _("Files")
        WORKSHOP = "workshop", _("Workshop")
        SCRIPT = "script", _("Script")

    name = models.CharField(_("name"), max_length=names.LONGEST, validators=[names.is_plain])
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.FILES)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="overlays",
    )
    path = models.CharField(
        _("directory"),
        max_length=255,
        unique=True,
        help_text=_("Relative to the overlay root."),
        error_messages={"unique": _("Another overlay uses this directory. Enter another path.")},
    )
    expose_cfg = models.BooleanField(
        _("use its server.cfg"),
        default=False,
        help_text=_("Run this overlay's left4dead2/cfg/server.cfg on every server that uses the overlay."),
    )
    built_at = models.DateTimeField(_("built"), null=True, blank=True, editable=False)
    # Counts changes of the content: a server that was started with a lower version needs a restart to apply them.
    content_version = models.PositiveIntegerField(default=0, editable=False)
    size_bytes = models.PositiveBigIntegerField(_("size"), default=0, editable=False)
    file_count = models.PositiveIntegerField(_("files"), default=0, editable=False)
    # False until a build or an inspection has recorded the campaigns.
    is_inspected = models.BooleanField(default=False, editable=False)
    # Programs of the game that a build or a start found in the tree, and those that an admin allowed: path to SHA-256.
    programs = models.JSONField(default=dict, blank=True, editable=False)
    allowed_programs = models.JSONField(default=dict, blank=True, editable=False)
    # Counts edits of this row, to detect that two users edit it at the same time.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OverlayQuerySet.as_manager()

    # Why it needs attention, where `overlays.attention.annotate` has set it.
    attention: Sequence[Reason] = ()

    class Meta:
        ordering = [NaturalOrder("name"), "pk"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "owner",
                name="overlay_name_unique_per_owner",
                violation_error_code="name_taken",
                violation_error_message=_("You already have an overlay with this name. Choose another name."),
            ),
            models.UniqueConstraint(
                Lower("name"),
                condition=Q(owner=None),
                name="system_overlay_name_unique",
                violation_error_code="name_taken",
                violation_error_message=_("A system overlay already has this name. Choose another name."),
            ),
            models.CheckConstraint(condition=~Q(name=""), name="overlay_has_a_name"),
            models.CheckConstraint(
                condition=Q(kind__in=["files", "workshop", "script"]), name="overlay_kind_is_known"
            ),
            # A script runs on the host, so script overlays belong to the catalog, which only admins change.
            models.CheckConstraint(
                condition=~Q(kind="script") | Q(owner=None),
                name="script_overlay_is_system",
                violation_error_code="script_is_system",
                violation_error_message=_("Script overlays must be part of the catalog."),
            ),
            models.CheckConstraint(
                condition=~Q(path__in=["", "."]) & ~Q(path__startswith="/") & ~Q(path__contains=".."),
                name="overlay_path_is_below_root",
                violation_error_code="path_outside",
                violation_error_message=_("The directory must be below the overlay root."),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return address("overlays:detail", self.pk)

    @property
    def is_system(self) -> bool:
        return self.owner_id is None

    @property
    def refused_programs(self) -> list[str]:
        """Programs of the game in the overlay that no admin has allowed in their present version."""
        return sorted(path for path, digest in self.programs.items() if self.allowed_programs.get(path) != digest)

    @property
    def resource(self) -> str:
        """The name of this overlay in jobs, locks and the audit log."""
        return f"overlay:{self.pk}"

    def record_change(self, *, now: datetime, file_count: int | None = None, size_bytes: int | None = None) -> None:
        """Record that a build changed the content: running servers then show that a restart applies it."""
        self.content_version += 1
        self.built_at = now
        self.is_inspected = True
        fields = ["content_version", "built_at", "is_inspected"]
        if file_count is not None and size_bytes is not None:
            self.file_count, self.size_bytes = file_count, size_bytes
            fields += ["file_count", "size_bytes"]
        self.save(update_fields=fields)

    def count_in(self, added: int) -> None:
        """Count bytes that were added, or removed if negative, on the quota at once: the next build measures them."""
        Overlay.objects.filter(pk=self.pk).update(size_bytes=Greatest(F("size_bytes") + added, 0))


class OverlayCopy(models.Model):
    """The version of an overlay's content that a host other than the web's has downloaded for its servers."""

    overlay = models.ForeignKey(Overlay, on_delete=models.CASCADE, related_name="copies")
    # The host's name, as in jobs: the model of hosts belongs to an app that imports this one.
    host = models.CharField(_("host"), max_length=63)
    content_version = models.PositiveIntegerField(editable=False)
    is_whole = models.BooleanField(default=True, editable=False)
    made_at = models.DateTimeField(_("downloaded"))

    class Meta:
        ordering = ["host"]
        constraints = [models.UniqueConstraint(fields=["overlay", "host"], name="overlay_copy_once_per_host")]

    def __str__(self) -> str:
        return f"{self.overlay_id}@{self.host}"


class OverlayCollection(models.Model):
    """A Steam collection that an overlay follows: every refresh adds and removes its items as the collection does."""

    overlay = models.ForeignKey(Overlay, on_delete=models.CASCADE, related_name="collections")
    steam_id = models.PositiveBigIntegerField(_("Steam ID"))
    title = models.CharField(_("title"), max_length=255, blank=True)
    synced_at = models.DateTimeField(_("synced"), null=True, blank=True)
    last_error = models.TextField(_("last error"), blank=True)

    class Meta:
        ordering = ["title", "steam_id"]
        constraints = [models.UniqueConstraint(fields=["overlay", "steam_id"], name="collection_once_per_overlay")]

    def __str__(self) -> str:
        return self.title or str(self.steam_id)


class OverlayWorkshopItem(models.Model):
    """A workshop item of an overlay. The item's row and file are shared by all overlays.

    The model is in this app, since it references an overlay and `workshop` must not import `overlays`.
    """

    overlay = models.ForeignKey(Overlay, on_delete=models.CASCADE, related_name="workshop_links")
    item = models.ForeignKey(WorkshopItem, on_delete=models.PROTECT, related_name="overlay_links")
    # Null for items that were added individually: they stay when a collection drops them.
    collection = models.ForeignKey(
        OverlayCollection, on_delete=models.SET_NULL, null=True, blank=True, related_name="links"
    )
    # The version that the last build linked; null while the overlay does not contain the file.
    linked_version = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["added_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["overlay", "item"], name="item_once_per_overlay")]

    def __str__(self) -> str:
        return f"{self.overlay_id}: {self.item_id}"


class OverlayAddon(Inspected):
    """A VPK in the addons of a files or script overlay, or a mission or maps in loose files, as a build found it.

    The counterpart of a workshop item: `overlays.campaigns.sources` shows both in one list.
    """

    overlay = models.ForeignKey(Overlay, on_delete=models.CASCADE, related_name="addons")
    path = models.CharField(_("path"), max_length=1000)
    size = models.PositiveBigIntegerField(_("size"), default=0)
    # Size and time identify the content: an unchanged file is not inspected again, a renamed one keeps its link.
    modified_us = models.PositiveBigIntegerField(default=0, editable=False)
    reason = models.TextField(_("why it cannot be used"), blank=True)
    title = models.CharField(_("title"), max_length=200, blank=True)
    version = models.CharField(_("version"), max_length=50, blank=True)
    # The address that the author wrote into the mission or addoninfo.txt.
    website = models.CharField(_("website"), max_length=500, blank=True)
    # Where players get it, as given by a user; it has priority over the website.
    link = models.CharField(_("link for players"), max_length=500, blank=True)

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["overlay", "path"], name="addon_once_per_path")]

    def __str__(self) -> str:
        if self.title:
            return self.title
        if len(self.campaigns) == 1:
            return str(self.campaigns[0]["title"])
        return self.path.rpartition("/")[2]

    def take(self, found: Inspection) -> None:
        super().take(found)
        self.reason, self.title, self.version = found.reason, found.title, found.version
        self.website = found.website


class OverlayContents(PackedPaths):
    """The paths of a files or script overlay, as the last build found them."""

    overlay = models.OneToOneField(Overlay, on_delete=models.CASCADE, related_name="contents", primary_key=True)
    # Files of the game at these paths, but for letter case; in the game's own case.
    packed_game_paths = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.overlay_id}"

    @property
    def game_paths(self) -> list[str]:
        return inspection.unpack_paths(bytes(self.packed_game_paths))


class OverlayMatchModes(models.Model):
    """The match modes of a competitive pack in an overlay, as the last build found them. See `match_modes`."""

    overlay = models.OneToOneField(Overlay, on_delete=models.CASCADE, related_name="match_modes", primary_key=True)
    modes = models.JSONField(default=list)
    # By its code, the name and the group of each mode that the pack offers to players.
    names = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.overlay_id}"


class AddonContents(PackedPaths):
    """The paths in a VPK of a files or script overlay, like `WorkshopContents`."""

    addon = models.OneToOneField(OverlayAddon, on_delete=models.CASCADE, related_name="contents", primary_key=True)

    def __str__(self) -> str:
        return f"{self.addon_id}"


class OverlayScript(models.Model):
    """The shell script that builds a script overlay, in a sandbox and into an empty directory."""

    overlay = models.OneToOneField(Overlay, on_delete=models.CASCADE, related_name="script", primary_key=True)
    text = models.TextField(_("script"), blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.overlay_id}"


class Upload(models.Model):
    """An upload into an overlay in chunks. The bytes received are in a partial file until the upload is complete."""

    overlay = models.ForeignKey(Overlay, on_delete=models.CASCADE, related_name="uploads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    path = models.CharField(max_length=1000)
    size = models.PositiveBigIntegerField()
    unpack = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # Set for an archive once its entries are known: it waits for a user to apply the plan.
    ready_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Why the archive cannot be read.
    problem = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            # Starting the same upload again finds the interrupted one and continues it.
            models.UniqueConstraint(
                fields=["overlay", "user", "path", "size", "unpack"], name="upload_continues_where_it_ended"
            )
        ]

    def __str__(self) -> str:
        return f"{self.overlay_id}: {self.path}"

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class DeletedFile(models.Model):
    """A file or folder that was deleted from a files overlay and waits in the trash (`overlays.files.trash`)."""

    KEPT_FOR = timedelta(days=7)

    overlay = models.ForeignKey(Overlay, on_delete=models.CASCADE, related_name="deleted_files")
    path = models.CharField(_("path"), max_length=1000)
    is_folder = models.BooleanField(default=False)
    file_count = models.PositiveIntegerField(_("files"), default=1)
    size = models.PositiveBigIntegerField(_("size"), default=0)
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("deleted by"), null=True, on_delete=models.SET_NULL, related_name="+"
    )
    deleted_at = models.DateTimeField(_("deleted"))

    class Meta:
        ordering = ["-deleted_at", "-pk"]

    def __str__(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def kept_until(self) -> datetime:
        return self.deleted_at + self.KEPT_FOR
