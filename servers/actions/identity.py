"""Changing the identity of a blueprint's servers."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from servers.actions.blueprints import BlueprintChanges, target, update_blueprint
from servers.actions.refusals import Stale
from servers.identity import cvars, lines, live, values
from servers.models import Blueprint, game_texts

_LONGEST_RECORD = 1000


@transaction.atomic
def save(
    *,
    blueprint: Blueprint,
    seen_version: int,
    by: User,
    settings: Mapping[str, str | None],
    texts: Mapping[str, str],
) -> Blueprint:
    """Set these settings where the lines of the blueprint have them, and its texts; None removes a setting.

    Running games take the settings over, and read the texts at their next map. Nothing is saved if nothing changes.
    Raises Stale, or ValidationError by field.
    """
    if blueprint.version != seen_version:
        raise Stale(blueprint)
    wanted = {name: None if value is None else cvars.normal(name, value) or None for name, value in settings.items()}
    _refuse(wanted)
    present = lines.values(blueprint.config)
    wanted = {name: value for name, value in wanted.items() if (present.get(name) or None) != value}
    changed_texts = {name: text for name, text in texts.items() if game_texts.normal(text) != getattr(blueprint, name)}
    if not wanted and not changed_texts:
        return blueprint
    changes = BlueprintChanges()
    if wanted:
        changes["config"] = lines.edit(blueprint.config, wanted)
    if "motd" in changed_texts:
        changes["motd"] = changed_texts["motd"]
    if "banner" in changed_texts:
        changes["banner"] = changed_texts["banner"]
    saved = update_blueprint(blueprint=blueprint, seen_version=seen_version, by=by, **changes)
    shown = [f"{name} {value or '–'}" for name, value in wanted.items()]
    details = ", ".join([*shown, *(values.FILE_CVARS[name][1] for name in changed_texts)])
    record.write(action="blueprint.identity", by=by, target=target(saved), values=details[:_LONGEST_RECORD])
    live.request(saved.servers.all())
    return saved


def apply(blueprint: Blueprint) -> None:
    """Have the running games of a blueprint take over its identity, which its lines may have had for a while."""
    live.request(blueprint.servers.all())


def _refuse(wanted: Mapping[str, str | None]) -> None:
    """Raise ValidationError for settings that do not exist and for values that cannot be set."""
    faults = {name: _("There is no such setting.") for name in wanted if name not in cvars.BY_NAME}
    for name, value in wanted.items():
        if name not in faults and value is not None and (fault := cvars.problem(name, value)):
            faults[name] = fault
    if faults:
        raise ValidationError(faults)
