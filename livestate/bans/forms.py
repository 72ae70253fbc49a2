"""Forms of bans, their lists, and imports."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from left4me.core import names
from livestate.bans import actions, formats
from livestate.bans.models import LONGEST_REASON, Ban, BanList
from livestate.reconcile import LONGEST_NAME
from servers import permissions
from servers.models import Server

_ALL = "all"
LENGTHS = [
    (30, gettext_lazy("30 minutes")),
    (60, gettext_lazy("1 hour")),
    (24 * 60, gettext_lazy("1 day")),
    (7 * 24 * 60, gettext_lazy("1 week")),
    (30 * 24 * 60, gettext_lazy("30 days")),
    (365 * 24 * 60, gettext_lazy("1 year")),
    (0, gettext_lazy("Permanent")),
]


class PlaceField(forms.ChoiceField):
    """Where bans apply: on all servers of an owner, on one server, or by a list with a name of its own."""

    def offer(self, user: User, server: Server | None) -> None:
        """Offer what the user may ban on; for a page of `server`, its own list and its owner's come first."""
        owner = server.owner if server is not None and permissions.can_edit_server(user, server) else user
        mine = _("All my servers") if owner == user else _("All servers of %(owner)s") % {"owner": owner}
        lists = BanList.objects.editable_by(user).filter(server=None).exclude(is_default=True, owner=owner)
        operated = Server.objects.operated_by(user)
        self.choices = [
            (_ALL, mine),
            (_("One server"), [(f"server:{each.pk}", each.name) for each in operated.order_by("name")]),
            (_("Other lists"), [(f"list:{each.pk}", each.title) for each in lists.select_related("owner", "server")]),
        ]
        self.owner = owner
        if server is not None and self.initial is None:
            self.initial = _ALL if permissions.can_edit_server(user, server) else f"server:{server.pk}"

    def chosen(self, value: str, *, by: User) -> BanList:
        """The list of a choice; created when it is the first ban there."""
        kind, _colon, pk = value.partition(":")
        if kind == "server":
            return actions.list_of_server(Server.objects.get(pk=pk), by=by)
        return BanList.objects.get(pk=pk) if kind == "list" else actions.default_list(self.owner)

    def existing(self, value: str) -> BanList | None:
        """The list of a choice, if there is one yet."""
        kind, _colon, pk = value.partition(":")
        if kind == "server":
            return BanList.objects.filter(server_id=int(pk)).first()
        if kind == "list":
            return BanList.objects.filter(pk=pk).first()
        return BanList.objects.filter(owner=self.owner, is_default=True).first()


class _Details(forms.Form):
    minutes = forms.TypedChoiceField(label=gettext_lazy("Length"), coerce=int, choices=LENGTHS, initial=24 * 60)
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=LONGEST_REASON)
    evidence = forms.URLField(
        label=gettext_lazy("Evidence"),
        required=False,
        max_length=500,
        assume_scheme="https",
        help_text=gettext_lazy("The address of a video, a demo or a discussion."),
    )


class BanForm(_Details):
    """A new ban. `server` is the server whose page led here."""

    target = forms.CharField(
        label=gettext_lazy("Player or address"),
        max_length=100,
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "A SteamID, the address of a Steam profile, an IPv4 address, or a network such as 203.0.113.0/24."
        ),
    )
    place = PlaceField(label=gettext_lazy("Applies to"))
    name = forms.CharField(
        label=gettext_lazy("Name"),
        required=False,
        max_length=LONGEST_NAME,
        help_text=gettext_lazy("Leave blank to use the name that the player last had on a server."),
    )

    field_order = ("target", "name", "place", "minutes", "reason", "evidence")

    def __init__(self, *args: Any, user: User, server: Server | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.place_field: PlaceField = self.fields["place"]  # type: ignore[assignment]
        self.place_field.offer(user, server)

    def save(self) -> Ban:
        given = dict(self.cleaned_data)
        ban_list = self.place_field.chosen(given.pop("place"), by=self.user)
        return actions.add(ban_list=ban_list, by=self.user, **given)


class BanChangeForm(_Details):
    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=LONGEST_NAME)

    field_order = ("name", "minutes", "reason", "evidence")

    def __init__(self, data: QueryDict | None = None, *, ban: Ban) -> None:
        initial = {"name": ban.name, "minutes": ban.minutes, "reason": ban.reason, "evidence": ban.evidence}
        super().__init__(data, initial=initial)
        lengths = dict(LENGTHS)
        if ban.minutes not in lengths:
            self.fields["minutes"].choices = [(ban.minutes, _in_words(ban.minutes)), *LENGTHS]  # type: ignore[attr-defined]
        self.fields["minutes"].help_text = _("Counted from the beginning of the ban.")


def _in_words(minutes: int) -> str:
    """A length in the largest unit that needs no fraction."""
    if minutes % (24 * 60) == 0:
        return ngettext("%(n)d day", "%(n)d days", minutes // (24 * 60)) % {"n": minutes // (24 * 60)}
    if minutes % 60 == 0:
        return ngettext("%(n)d hour", "%(n)d hours", minutes // 60) % {"n": minutes // 60}
    return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}


class ListForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=names.LONGEST)
    is_shared = forms.BooleanField(
        label=gettext_lazy("Shared"),
        required=False,
        help_text=gettext_lazy("All users can see this list and apply it to their servers."),
    )

    def __init__(self, data: QueryDict | None = None, *, ban_list: BanList | None = None) -> None:
        initial = {"name": ban_list.name, "is_shared": ban_list.is_shared} if ban_list else {}
        super().__init__(data, initial=initial)
        if ban_list and (ban_list.is_default or ban_list.server_id):
            del self.fields["name"]


class ImportForm(forms.Form):
    """A file or pasted text. It stays in the page as text until the preview is confirmed."""

    # One of the two.
    conditional = ("file", "text")

    place = PlaceField(label=gettext_lazy("Add to"))
    file = forms.FileField(
        label=gettext_lazy("File"),
        required=False,
        help_text=gettext_lazy(
            "banned_user.cfg, banned_ip.cfg, a CSV or SQL export of SourceBans, or a CSV file of left4me."
        ),
    )
    text = forms.CharField(
        label=gettext_lazy("Or paste it here"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false", "wrap": "off"}),
    )

    def __init__(self, *args: Any, user: User, server: Server | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.place_field: PlaceField = self.fields["place"]  # type: ignore[assignment]
        self.place_field.offer(user, server)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        file = given.get("file")
        if file is not None and file.size > formats.LARGEST:
            raise ValidationError(_("The file is too large. Split it into files of at most 2 MB."))
        content: bytes | str = file.read() if file is not None else given.get("text", "")
        given["reading"] = formats.read(content, now=timezone.now())
        if not content:
            raise ValidationError(_("Choose a file, or paste its content."))
        if not given["reading"].entries:
            raise ValidationError(
                _("No bans found. Each line needs a SteamID or an address; tables need their first line of names.")
            )
        return given
