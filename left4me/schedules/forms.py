"""The form of a schedule: common times by choice, others as a cron expression."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from left4me.core import moments, names
from left4me.schedules import description, recurrence
from left4me.schedules.description import Repeat, Times
from left4me.schedules.models import LONGEST_WAIT_MINUTES, LONGEST_WARNING_MINUTES, Action, Condition, Schedule
from servers.blueprints.map_field import MapField
from servers.models import Blueprint, Server

_ALL = "all"


class TimesForm(forms.Form):
    """When a schedule runs. The preview of the next times reads it alone."""

    # Shown while the choice above them needs them.
    conditional = ("at", "weekdays", "cron", "map", "argument")

    repeat = forms.ChoiceField(label=gettext_lazy("Repeat"), choices=Repeat.choices, initial=Repeat.DAILY)
    at = forms.TimeField(
        label=gettext_lazy("Time"),
        initial="05:00",
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        help_text=gettext_lazy("For “Every hour”, only the minute is used."),
    )
    weekdays = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Weekdays"),
        coerce=int,
        # Django counts from Monday, cron from Sunday.
        choices=[((number + 1) % 7, name) for number, name in WEEKDAYS.items()],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    cron = forms.CharField(
        label=gettext_lazy("Cron expression"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false"}),
        help_text=gettext_lazy("Minute, hour, day, month and weekday, such as “30 4 1 * *”: the first of each month."),
    )
    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"), initial="UTC")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A program may have set a zone that the list does not offer.
        own = {self.get_initial_for_field(self.fields["time_zone"], "time_zone")}
        zones = sorted({*moments.zone_names(), *own})
        self.fields["time_zone"].choices = [(name, name) for name in zones]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        repeat = Repeat(given.get("repeat", Repeat.DAILY))
        if repeat != Repeat.CRON and given.get("at") is None:
            self.add_error("at", _("Choose a time."))
        elif repeat == Repeat.WEEKLY and not given.get("weekdays"):
            self.add_error("weekdays", _("Choose at least one weekday."))
        elif not self.errors:
            times = {"at": given["at"]} if given.get("at") else {}
            chosen = Times(repeat=repeat, weekdays=given["weekdays"], cron=given["cron"], **times)
            try:
                recurrence.check_cron(chosen.as_cron())
            except ValidationError as fault:
                self.add_error("cron", fault)
            given["times"] = chosen.as_cron()
        return given


class ScheduleForm(TimesForm):
    """`user` decides which servers and blueprints may be chosen, `owner` is whose schedule it is."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=names.LONGEST)
    target = forms.ChoiceField(label=gettext_lazy("Servers"))
    action = forms.ChoiceField(label=gettext_lazy("Action"), choices=Action.choices, initial=Action.RESTART)
    map = MapField(label=gettext_lazy("Map"))
    argument = forms.CharField(
        label=gettext_lazy("Commands"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false", "wrap": "off"}),
        help_text=gettext_lazy("The console commands, one per line."),
    )
    condition = forms.ChoiceField(
        label=gettext_lazy("If players are online"), choices=Condition.choices, initial=Condition.ALWAYS
    )
    wait_minutes = forms.IntegerField(
        label=gettext_lazy("Longest wait, in minutes"), min_value=1, max_value=LONGEST_WAIT_MINUTES, initial=120
    )
    warn_minutes = forms.CharField(
        label=gettext_lazy("Warn players, minutes before"),
        required=False,
        max_length=100,
        help_text=gettext_lazy("Such as “10, 5, 1”. Leave blank to send no warnings."),
    )
    catch_up = forms.BooleanField(
        label=gettext_lazy("Run late if missed"),
        required=False,
        help_text=gettext_lazy("If left4me was not running at that time. Otherwise the run is listed as missed."),
    )

    field_order = (
        *("name", "target", "action", "map", "argument", "repeat", "at", "weekdays", "cron", "time_zone"),
        *("condition", "wait_minutes", "warn_minutes", "catch_up"),
    )

    def __init__(
        self, *args: Any, user: User, schedule: Schedule | None = None, server: Server | None = None, **kwargs: Any
    ) -> None:
        """A form for a new schedule, of `server` if it is given, or for changing `schedule`."""
        owner = schedule.owner if schedule else user
        kwargs["initial"] = _initial(schedule, server) | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        actions = [each for each in Action if each.is_of_schedules and (owner.is_admin or not each.is_of_admins)]
        self.fields["action"].choices = [(each.value, each.label) for each in actions]  # type: ignore[attr-defined]
        self._servers = {
            str(row.pk): row for row in Server.objects.visible_to(owner).with_role(owner).order_by("name")
        }
        self._blueprints = {str(row.pk): row for row in Blueprint.objects.filter(owner=owner).order_by("name")}
        self.fields["target"].choices = [  # type: ignore[attr-defined]
            (_ALL, _("All my servers") if owner == user else _("All servers of %s") % owner),
            (_("One server"), [(f"server:{pk}", row.name) for pk, row in self._servers.items()]),
            (_("Servers of a blueprint"), [(f"blueprint:{pk}", row.name) for pk, row in self._blueprints.items()]),
        ]
        used = {row.blueprint_id for row in self._servers.values()} | {int(pk) for pk in self._blueprints}
        self.fields["map"].offer(used, besides=self.initial.get("map", ""))  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        chosen = given.pop("map", "")
        if given.get("action") == Action.MAP:
            if not chosen:
                self.add_error("map", _("Choose a map."))
            given["argument"] = chosen
        return given

    def clean_warn_minutes(self) -> list[int]:
        words = re.split(r"[\s,;]+", self.cleaned_data["warn_minutes"].strip(" ,;"))
        try:
            minutes = [int(word) for word in words if word]
        except ValueError as fault:
            raise ValidationError(_("Enter minutes separated by commas, such as “10, 5, 1”.")) from fault
        if any(not 0 < each <= LONGEST_WARNING_MINUTES for each in minutes):
            raise ValidationError(_("Warnings can be sent from 1 to 60 minutes before."))
        return minutes

    def given(self) -> dict[str, Any]:
        """The keyword arguments of the action."""
        given = {**self.cleaned_data, "cron": self.cleaned_data["times"]}
        kind, _colon, key = given.pop("target").partition(":")
        for name in ("repeat", "at", "weekdays", "times"):
            given.pop(name, None)
        given["server"] = self._servers[key] if kind == "server" else None
        given["blueprint"] = self._blueprints[key] if kind == "blueprint" else None
        return given


def _initial(schedule: Schedule | None, server: Server | None) -> dict[str, Any]:
    if schedule is None:
        return {"target": f"server:{server.pk}"} if server else {}
    times = description.read(schedule.cron)
    target = _ALL
    if schedule.server_id is not None:
        target = f"server:{schedule.server_id}"
    elif schedule.blueprint_id is not None:
        target = f"blueprint:{schedule.blueprint_id}"
    return {
        "target": target,
        "repeat": times.repeat,
        "at": times.at,
        "weekdays": times.weekdays,
        "cron": schedule.cron,
        "warn_minutes": ", ".join(map(str, schedule.warn_minutes)),
        **{name: getattr(schedule, name) for name in _AS_THEY_ARE},
        "map" if schedule.action == Action.MAP else "argument": schedule.argument,
    }


_AS_THEY_ARE = ("name", "action", "time_zone", "condition", "wait_minutes", "catch_up")
