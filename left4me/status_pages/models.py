"""Status pages: chosen servers of a user, shown to anyone who knows the address, and as a message in Discord."""

from __future__ import annotations

import re
import secrets
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.alerts.models import Channel
from left4me.core import names
from servers.models import Server

MOST_SERVERS = 50
MOST_ORIGINS = 10
# A host with an optional port, or all hosts of a domain: what frame-ancestors takes, and nothing that could end it.
_ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?(:\d{1,5})?")

is_slug = RegexValidator(
    r"^[a-z0-9](-?[a-z0-9])*\Z", _("Use lower-case letters, digits and single hyphens, such as “friday-night”.")
)


def secret_slug() -> str:
    """An address that nobody guesses."""
    return secrets.token_hex(16)


def check_origins(origins: object) -> None:
    """Validate the sites that may embed a page. Raises ValidationError."""
    if not isinstance(origins, list) or len(origins) > MOST_ORIGINS:
        raise ValidationError(_("List at most ten sites."))
    for origin in origins:
        if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
            message = _("“%(site)s” is not a site. Enter its address without a path, such as https://example.org.")
            raise ValidationError(message, params={"site": origin})


class StatusPageQuerySet(models.QuerySet["StatusPage"]):
    def of(self, user: object) -> Self:
        """The pages that the user may manage: their own, for admins all."""
        if getattr(user, "is_admin", False):
            return self
        return self.filter(owner_id=getattr(user, "pk", None))


class StatusPage(models.Model):
    """A page without sign-in. It is off until its owner turns it on."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.CASCADE, related_name="status_pages"
    )
    title = models.CharField(_("title"), max_length=names.LONGEST, validators=[names.is_plain])
    slug = models.CharField(
        _("address"),
        max_length=64,
        unique=True,
        default=secret_slug,
        validators=[is_slug],
        error_messages={"unique": _("Another status page has this address. Choose another one.")},
    )
    servers = models.ManyToManyField(Server, verbose_name=_("servers"), related_name="status_pages")
    shows_players = models.BooleanField(_("names of players"), default=False)
    shows_history = models.BooleanField(_("history"), default=True)
    shows_join = models.BooleanField(_("how to join"), default=True)
    embed_origins = models.JSONField(_("sites"), default=list, blank=True, validators=[check_origins])
    is_enabled = models.BooleanField(_("on"), default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = StatusPageQuerySet.as_manager()

    class Meta:
        ordering = ["title", "pk"]
        constraints = [models.CheckConstraint(condition=~Q(slug=""), name="status_page_has_an_address")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("status_pages:edit", args=[self.pk])

    @property
    def public_path(self) -> str:
        return reverse("status_pages:page", args=[self.slug])

    @property
    def resource(self) -> str:
        """Its name in the audit log."""
        return f"status_page:{self.pk}"

    @property
    def shown_servers(self) -> QuerySet[Server]:
        """The chosen servers that still belong to its owner."""
        return self.servers.filter(owner_id=self.owner_id).select_related("host", "blueprint")


class StatusMessage(models.Model):
    """A message in Discord that shows a status page's servers, posted through an alert channel and edited since."""

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, primary_key=True, related_name="status_message")
    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="messages")
    # False: the message is deleted in Discord, and then this row.
    is_wanted = models.BooleanField(default=True)
    # The id that Discord gave the message; empty until it is posted.
    message_id = models.CharField(max_length=32, blank=True)
    # Of what was sent last, and which address it was sent to.
    digest = models.CharField(max_length=64, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.channel_id}: {self.page_id}"
