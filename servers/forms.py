"""Forms of blueprints, servers, shares and hosts, for pages and admin. The actions validate the rows."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from left4me.core import moments, names, rows
from left4me.core.web.ids import parse_id
from overlays.models import Overlay
from servers.actions import blueprint_yaml
from servers.blueprints import checks, maps, translation
from servers.blueprints.map_field import MapField
from servers.models import FLAGS, Blueprint, GameAccess, GamePerson, Host, Server, ServerShare, StarterBlueprint
from workshop import inputs


class RowForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form without model validation: its action validates the row, with owner, version and locks."""

    def _post_clean(self) -> None:
        pass


class StackField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Overlays in the order of the submitted values, the topmost first."""

    def clean(self, value: Any) -> Any:
        for pk in value or ():
            # Larger than any id: databases raise an error that is not a refusal.
            if parse_id(str(pk)) is None:
                raise ValidationError(self.error_messages["invalid_pk_value"], "invalid_pk_value", {"pk": pk})
        overlays = {str(overlay.pk): overlay for overlay in super().clean(value)}
        return [overlays[pk] for pk in dict.fromkeys(map(str, value or ())) if pk in overlays]


class BlueprintForm(RowForm):
    """`owner` decides which overlays may be chosen."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    overlays = StackField(
        label=_("Overlays"), queryset=Overlay.objects.none(), required=False, help_text=_("Highest priority first.")
    )

    class Meta:
        model = Blueprint
        fields = ["name", "description", "overlays", "arguments", "config", "connect_ports", "allow_ptrace"]
        widgets = {
            "description": forms.Textarea(attrs={"rows": 2}),
            "arguments": forms.Textarea(attrs={"rows": 5, "wrap": "off"}),
            "config": forms.Textarea(attrs={"rows": 16, "wrap": "off"}),
        }

    def __init__(self, *args: Any, owner: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.rearranged and self.data["rearrange"] == "start_map":
            data: QueryDict = self.data.copy()  # type: ignore[attr-defined]
            chosen = data.get("start_map", "")[:100]
            data["arguments"] = maps.with_start_map(data.get("arguments", ""), chosen)
            self.data = data
        self.fields["overlays"].queryset = Overlay.objects.usable_by(owner)  # type: ignore[attr-defined]
        self.fields["version"].initial = self.instance.version
        self.translated: list[translation.Note] = []
        self.fields["config"].label = "server.cfg"
        if self.instance.pk:
            self.initial["overlays"] = [overlay.pk for overlay in self.instance.layers]

    def leave_out_refused(self) -> None:
        """Remove the lines that cannot be saved, when the button that does so was pressed."""
        if "leave_out" not in self.data:
            return
        data = cast(QueryDict, self.data).copy()
        for name, check in (("arguments", checks.check_arguments), ("config", checks.check_config)):
            text = data.get(name, "")
            refused = {each.line for each in check(text) if each.severity == checks.Severity.REFUSED}
            lines = enumerate(checks.config_lines(text), start=1)
            if refused:
                data[name] = "\n".join(line for number, line in lines if number not in refused)
        self.data = data

    @property
    def has_refused_lines(self) -> bool:
        """Whether lines of its texts are what keeps it from being saved."""
        return self.is_bound and not {"arguments", "config"}.isdisjoint(self.errors)

    def translate(self) -> None:
        """Replace a pasted launch line by its translation; `translated` then says what became of its parts."""
        data = cast(QueryDict, self.data).copy()
        result = translation.translate(arguments=data.get("arguments", ""), config=data.get("config", ""))
        self.translated = result.notes
        if result.notes:
            data["arguments"], data["config"] = result.arguments, result.config
            self.data = data

    @property
    def rearranged(self) -> bool:
        """Whether a button of the stack was pressed: then the form is shown again and nothing is saved."""
        return self.is_bound and "rearrange" in self.data

    @property
    def stack(self) -> list[Overlay]:
        """The overlays to show: the submitted ones after the pressed button, otherwise the stored ones."""
        if not self.is_bound:
            chosen = list(map(str, self.initial.get("overlays", [])))
        else:
            chosen = list(dict.fromkeys(self.data.getlist("overlays")))  # type: ignore[attr-defined]
            _rearrange(chosen, self.data.get("rearrange", ""), added=self.data.get("add", ""))
        usable = {str(overlay.pk): overlay for overlay in self._usable}
        return [usable[pk] for pk in chosen if pk in usable]

    @property
    def others(self) -> list[Overlay]:
        """The overlays that can be added."""
        chosen = set(self.stack)
        return [overlay for overlay in self._usable if overlay not in chosen]

    @cached_property
    def _usable(self) -> list[Overlay]:
        return list(self.fields["overlays"].queryset)  # type: ignore[attr-defined]


def _rearrange(chosen: list[str], button: str, *, added: str) -> None:
    """Apply a button of the stack: `up,7`, `down,7`, `remove,7`, or `add`."""
    direction, _comma, pk = button.partition(",")
    if direction == "add" and added and added not in chosen:
        chosen.insert(0, added)
    if pk not in chosen:
        return
    at = chosen.index(pk)
    chosen.remove(pk)
    if direction in {"up", "down"}:
        chosen.insert(max(0, at - 1) if direction == "up" else at + 1, pk)


class TagsField(forms.CharField):
    """Words with commas between them."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Tags"), required=False, help_text=_("Words to filter servers by, separated by commas.")
        )

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [tag.strip() for tag in super().clean(value).split(",") if tag.strip()]


class OfferedPort(forms.BaseForm):
    """A form of a server with a field `port`."""

    @property
    def offered_port(self) -> int | None:
        """The free port that an error about a taken one names, for a button that takes it."""
        errors = self.errors.as_data().get("port", []) if self.is_bound else []
        offers = (error.params.get("free") for error in errors if error.code == "port_busy" and error.params)
        return next((int(port) for port in offers if port), None)


class ServerForm(OfferedPort, RowForm):
    """`owner` decides which blueprints may be chosen. An existing server stays on its host."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    tag_list = TagsField()

    class Meta:
        model = Server
        fields = ["name", "blueprint", "host", "port", "restart_when_hung"]

    def __init__(self, *args: Any, owner: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["blueprint"].queryset = Blueprint.objects.filter(owner=owner)  # type: ignore[attr-defined]
        self.fields["version"].initial = self.instance.version
        self.fields["port"].min_value = None  # type: ignore[attr-defined]
        self.initial.setdefault("tag_list", self.instance.tag_list)
        if self.instance.pk:
            del self.fields["host"]
            return
        self.fields["port"].required = False
        self.fields["port"].help_text = _("Leave blank to pick automatically.")
        _offer_hosts(self)


class NewServerForm(OfferedPort, forms.Form):
    """Creates a server with all that it needs: a blueprint from a template, an overlay with workshop items."""

    name = forms.CharField(label=_("Name"), max_length=names.LONGEST, validators=[names.is_plain])
    base = forms.ChoiceField(
        label=_("Start from"), help_text=_("A template creates a blueprint of yours, which you can change later.")
    )
    start_map = MapField(label=_("First map"), blank=_("As in the template or blueprint"))
    items = forms.CharField(
        label=_("Workshop items"),
        required=False,
        max_length=inputs.LONGEST_INPUT,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_(
            "Paste links or IDs of campaigns, mods or collections. The server starts when they are downloaded."
        ),
    )
    config = forms.CharField(
        label=_("More lines for server.cfg"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "wrap": "off", "spellcheck": "false"}),
        help_text=_("One command per line. They are added to those of the template or blueprint."),
    )
    host = forms.ModelChoiceField(label=_("Host"), queryset=Host.objects.none())
    port = forms.IntegerField(label=_("Port"), required=False, help_text=_("Leave blank to pick automatically."))
    restart_when_hung = forms.BooleanField(
        label=_("Restart if unresponsive"),
        required=False,
        help_text=_("When the game has not responded for a minute (map changes excluded)."),
    )
    tag_list = TagsField()

    def __init__(self, *args: Any, owner: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._templates = {f"template-{row.pk}": row for row in StarterBlueprint.objects.filter(is_offered=True)}
        self._blueprints = {f"blueprint-{row.pk}": row for row in Blueprint.objects.filter(owner=owner).with_layers()}
        self.fields["base"].choices = [  # type: ignore[attr-defined]
            (title, [(key, row.name) for key, row in bases.items()])
            for title, bases in ((_("Templates"), self._templates), (_("Your blueprints"), self._blueprints))
            if bases
        ]
        self.fields["start_map"].offer([row.pk for row in self._blueprints.values()])  # type: ignore[attr-defined]
        _offer_hosts(self)
        wanted = _("%(owner)s’s server") % {"owner": owner.get_username()}
        self.initial.setdefault("name", rows.free_name(Server.objects.filter(owner=owner), wanted))

    def clean_base(self) -> Blueprint | StarterBlueprint:
        chosen = self.cleaned_data["base"]
        return self._templates.get(chosen) or self._blueprints[chosen]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        base, name = given.get("base"), given.get("start_map")
        if name and base and name not in (maps.playable(base.pk) if isinstance(base, Blueprint) else maps.stock()):
            self.add_error("start_map", _("“%s” does not contain this map. Choose another one.") % base.name)
        return given

    @property
    def has_hidden_errors(self) -> bool:
        """Whether a field that is folded away has an error."""
        return self.is_bound and not {"config", "host", "port", "restart_when_hung", "tag_list"}.isdisjoint(
            self.errors
        )


def _offer_hosts(form: forms.BaseForm) -> None:
    hosts = Host.objects.filter(is_enabled=True)
    field = cast("forms.ModelChoiceField[Host]", form.fields["host"])
    field.queryset, field.empty_label = hosts, None
    form.initial.setdefault("host", hosts.values_list("pk", flat=True).first())
    if not hosts[1:2].exists():
        # A choice between one host needs no field.
        field.widget = forms.HiddenInput()


class ShareForm(forms.Form):
    username = forms.CharField(label=_("Username"), max_length=64)
    role = forms.ChoiceField(
        label=_("Role"),
        choices=ServerShare.Role.choices,
        help_text=_("Viewers see the server and its players. Operators also start and stop it, and use the console."),
    )


class ImportForm(forms.Form):
    file = forms.FileField(label=_("File"), help_text=_("A .yaml file exported from left4me."))

    def clean_file(self) -> str:
        file = self.cleaned_data["file"]
        if file.size > blueprint_yaml.LONGEST:
            raise forms.ValidationError(_("This file is too large for a blueprint. Choose an exported blueprint."))
        try:
            return str(file.read().decode("utf-8"))
        except UnicodeDecodeError:
            raise forms.ValidationError(_("The file is not UTF-8 text. Save it as UTF-8.")) from None


class GamePersonForm(forms.ModelForm):  # type: ignore[type-arg]
    """A person with rights in games. The action validates the row."""

    # Shown with the role that needs them.
    conditional = ("flags",)

    person = forms.CharField(
        label=_("Username or Steam ID"),
        max_length=200,
        help_text=_("A user of left4me, or 17 digits, STEAM_1:0:11101, or the address of a Steam profile."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    flags = forms.MultipleChoiceField(
        label=_("Flags"),
        required=False,
        choices=[(flag, f"{flag} – {meaning}") for flag, meaning in FLAGS.items()],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = GamePerson
        fields = ["name", "role", "immunity", "until"]
        help_texts = {
            "name": _("For a Steam ID: what to call the person in this list."),
            "immunity": _("0 to 99. Admins cannot act against admins with a higher number."),
            "until": _("Leave blank for no end."),
        }
        widgets = {"until": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}

    field_order = ["person", "name", "role", "flags", "immunity", "until"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            # Who it is stays; an account has its own name.
            del self.fields["person"]
            self.initial["flags"] = list(self.instance.flags)
            if self.instance.user_id:
                del self.fields["name"]

    def _post_clean(self) -> None:
        pass

    def values(self) -> dict[str, Any]:
        return {**self.cleaned_data, "flags": "".join(self.cleaned_data["flags"])}


class GameRulesForm(RowForm):
    class Meta:
        model = GameAccess
        fields = ["team_are_admins", "whitelist", "reserved_slots"]
        help_texts = {
            "team_are_admins": _("With all flags, as far as their Steam IDs are confirmed."),
            "whitelist": _("Everyone else is removed within seconds of joining. Listed admins may always join."),
            "reserved_slots": _("Kept free for people with the flag a. 0: none."),
        }


class HostForm(RowForm):
    class Meta:
        model = Host
        fields = ["address", "first_port", "last_port", "is_enabled"]


class UpdatePolicyForm(RowForm):
    """What happens by itself when a game update is available for a host."""

    update_zone = forms.ChoiceField(label=_("Time zone"))

    class Meta:
        model = Host
        fields = ["update_policy", "update_time", "update_zone", "update_at_once"]
        widgets = {"update_time": forms.TimeInput(attrs={"type": "time"}, format="%H:%M")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A program may have set a zone that the list does not offer.
        zones = sorted({*moments.zone_names(), self.instance.update_zone})
        self.fields["update_zone"].choices = [(name, name) for name in zones]  # type: ignore[attr-defined]


class StarterForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses lines that a blueprint would refuse, since nobody could use such a template."""

    class Meta:
        model = StarterBlueprint
        fields = ["name", "description", "arguments", "config", "is_offered"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        translated = translation.translate(arguments=cleaned.get("arguments", ""), config=cleaned.get("config", ""))
        cleaned |= {"arguments": translated.arguments, "config": translated.config}
        for finding in checks.check(arguments=translated.arguments, config=translated.config):
            if finding.severity == checks.Severity.REFUSED:
                self.add_error(finding.field, str(finding))
        return cleaned
