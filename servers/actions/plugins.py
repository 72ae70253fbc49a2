"""Changes of the SourceMod plugins of a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.redis import hosts, signals
from left4me.core.web.refusals import Refused
from overlays.plugins import cfg
from overlays.plugins.cfg import Setting
from overlays.plugins.finder import SUFFIX
from servers.models import Server
from servers.plugins import settings, switches

_LONGEST_PATH = 200
_LONGEST_RECORD = 1000
_MESSAGE_SECONDS = 20.0


@dataclass(frozen=True)
class Known:
    """A cvar of a file, and the value that an overlay gives it, or None."""

    setting: Setting
    inherited: str | None


@transaction.atomic
def switch(*, server: Server, path: str, is_enabled: bool | None, by: User) -> None:
    """Enable or disable a plugin, given by its path when enabled; with None it follows its overlay. Raises Refused."""
    if not _is_path(path):
        raise Refused(_("This is not the path of a plugin. Choose one from the list."))
    row = rows.still_there(Server.objects.select_for_update(of=("self",)), server)
    wanted = {name: value for name, value in row.plugin_switches.items() if name != path}
    if is_enabled is not None:
        wanted[path] = is_enabled
    if len(wanted) > switches.MOST:
        raise Refused(_("A server can enable and disable at most %d plugins. Change the overlay.") % switches.MOST)
    row.plugin_switches = server.plugin_switches = dict(sorted(wanted.items()))
    row.save(update_fields=["plugin_switches"])
    done = "followed" if is_enabled is None else "enabled" if is_enabled else "disabled"
    record.write(action=f"server.plugin_{done}", by=by, target=server.resource, plugin=path)
    signals.send_after_commit(server.resource)


@transaction.atomic
def set_values(
    *, server: Server, file: str, values: Mapping[str, str], known: Mapping[str, Known], by: User
) -> dict[str, str]:
    """Set cvars in a cfg file of a plugin; returns what the server now sets in it. Raises ValidationError, by name.

    `known` are the cvars that the file has, of which the others stay. A value that an overlay has anyway is not kept.
    """
    row = rows.still_there(Server.objects.select_for_update(of=("self",)), server)
    faults = {name: _fault(known.get(name), value) for name, value in values.items()}
    if any(faults.values()):
        raise ValidationError({name: fault for name, fault in faults.items() if fault})
    own = {**row.plugin_settings.get(file, {}), **values}
    own = {name: value for name, value in own.items() if name in known and known[name].inherited != value}
    wanted = {name: kept for name, kept in row.plugin_settings.items() if name != file}
    if own:
        wanted[file] = dict(sorted(own.items()))
    row.plugin_settings = server.plugin_settings = dict(sorted(wanted.items()))
    row.save(update_fields=["plugin_settings"])
    details = ", ".join(f"{name} {value}" for name, value in sorted(values.items()))[:_LONGEST_RECORD]
    record.write(action="server.plugin_settings", by=by, target=server.resource, file=file, values=details)
    signals.send_after_commit(server.resource)
    hosts.send_after_commit(server.host.name, settings.TASK, server.pk, expires=_MESSAGE_SECONDS)
    return own


@transaction.atomic
def reset(*, server: Server, file: str, by: User) -> None:
    """Forget what the server sets in a file: it is as its overlay has it, or as its plugin writes it anew."""
    row = rows.still_there(Server.objects.select_for_update(of=("self",)), server)
    kept = {name: values for name, values in row.plugin_settings.items() if name != file}
    row.plugin_settings = server.plugin_settings = kept
    row.save(update_fields=["plugin_settings"])
    record.write(action="server.plugin_settings_reset", by=by, target=server.resource, file=file)
    signals.send_after_commit(server.resource)


def known_of(facts: Sequence[Mapping[str, Any]]) -> dict[str, Known]:
    """The cvars of a file, from what its host answered."""
    return {
        each["name"]: Known(
            Setting(name=each["name"], value=each["value"], minimum=each["minimum"], maximum=each["maximum"]),
            each["inherited"],
        )
        for each in facts
    }


def _fault(known: Known | None, value: str) -> str:
    """Why a value cannot be set; empty if it can."""
    if known is None:
        return _("The file has no such setting. Reload the page.")
    problem = cfg.problem(known.setting, value)
    if problem == "text":
        return _("Enter at most %d characters, without quotation marks and line breaks.") % cfg.LONGEST_VALUE
    if problem == "number":
        return _("Enter a number.")
    if isinstance(problem, tuple):
        least, most = (f"{limit:g}" if limit is not None else "–" for limit in problem)
        return _("Enter a number from %(least)s to %(most)s.") % {"least": least, "most": most}
    return ""


def _is_path(path: str) -> bool:
    """Whether this can be the path of an enabled plugin."""
    is_plain = path.isprintable() and len(path) <= _LONGEST_PATH and "\\" not in path and path.endswith(SUFFIX)
    return is_plain and switches.key(path) == path and not {"", ".", ".."}.intersection(path.split("/"))
