"""Decides which servers and hosts need attention, and why: the one notion of pages, the bell and the API.

`of_servers` and `criteria.filter_servers` state the same rules, for rows and for the database; a test holds them
together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from left4me.alerts.attention import Reason, Severity
from left4me.core import secrets
from left4me.core.statements import Given, Numbers, select
from left4me.core.web.ids import address
from left4me.core.web.refusals import Cure
from left4me.core.web.request import Visitor, is_admin
from left4me.jobs.models import Job
from overlays import attention as overlay_attention
from overlays.models import Overlay
from servers import permissions
from servers.models import GameCheck, Host, Server, ServerShare, StateChange
from servers.state import copies, criteria, layer_faults

# Steam is often away for some minutes.
_FAILED_CHECKS = 3


def of_servers(
    servers: Sequence[Server], *, busy: Collection[str], user: Visitor, now: datetime
) -> dict[int, list[Reason]]:
    """The reasons of each of these servers, the worst first; in at most seven queries.

    `busy` holds the resources with a live job: what that job may mend is left out. Needs rows from
    `listed().with_role(user)`.
    """
    crashes = _latest_crashes(servers, now)
    layers, unbuilt = layer_faults.of(servers, user)
    return {
        server.pk: _of_server(
            server,
            crash=crashes.get(server.pk),
            layers=layers.get(server.blueprint_id, []),
            unbuilt=unbuilt.get(server.blueprint_id),
            is_busy=server.resource in busy,
            user=user,
            now=now,
        )
        for server in servers
    }


def mend_server(user: User, number: str) -> Cure | None:
    """The cure of the worst reason of a server that has one."""
    rows = Server.objects.visible_to(user).filter(pk=number).listed().with_role(user)
    reasons = of_servers(list(rows), busy=(), user=user, now=timezone.now())
    return next((each.cure for each in reasons.get(int(number), ()) if each.cure), None)


def of_hosts(hosts: Sequence[Host], *, user: Visitor, now: datetime) -> dict[int, list[Reason]]:
    """The reasons of each of these hosts; in two queries, for rows that were read with their `game_check`."""
    late = copies.reasons(hosts, user=user, now=now)
    newest: dict[str, Job] = {}
    for job in Job.objects.filter(resource="game", operation="install", host__in=[host.name for host in hosts]):
        newest.setdefault(job.host, job)
    return {host.pk: [*_of_host(host, newest.get(host.name), user, now), *late.get(host.pk, ())] for host in hosts}


def _of_server(
    server: Server,
    *,
    crash: StateChange | None,
    layers: list[Reason],
    unbuilt: Overlay | None,
    is_busy: bool,
    user: Visitor,
    now: datetime,
) -> list[Reason]:
    if server.host.is_down(now):
        # The last report of a host that is down says nothing about the present.
        return [_host_is_down(server), *layers]
    reasons = list(layers)
    if not is_busy and (reason := _of_state(server, user, unbuilt)):
        reasons.append(reason)
    if crash is not None and server.actual_state in criteria.RUNS:
        reasons.append(
            Reason(
                kind="crashed_recently",
                severity=Severity.WARN,
                label=_("Crashed recently"),
                text=crash.detail or _("It crashed within the last hour and was started again."),
                url=server.get_absolute_url(),
                cure=_last_lines(server),
            )
        )
    if reason := _of_game(server, user, is_busy=is_busy):
        reasons.append(reason)
    if server.outdated_files:
        reasons.append(_of_files(server, user))
    return sorted(reasons, key=lambda reason: reason.severity.rank)


def _of_state(server: Server, user: Visitor, unbuilt: Overlay | None) -> Reason | None:
    """Why its state needs attention: the first of these reasons explains the others."""
    start = _operation(server, "start", _("Start"), user)
    error, url = server.last_error, server.get_absolute_url()
    if server.actual_state == Server.State.GAVE_UP:
        text = error or _("It crashed too often and is not started again by itself.")
        label = _("Keeps crashing")
        return Reason(kind="gave_up", severity=Severity.BAD, label=label, text=text, url=url, cure=start)
    if server.actual_state == Server.State.CRASHED:
        text = error or _("It crashed. It is started again shortly.")
        return Reason(
            kind="crashed", severity=Severity.BAD, label=_("Crashed"), text=text, url=url, cure=_last_lines(server)
        )
    if server.hung_since is not None:
        return Reason(
            kind="unresponsive",
            severity=Severity.BAD,
            label=_("Unresponsive"),
            text=_("The game runs but does not answer."),
            url=url,
            cure=_operation(server, "restart", _("Restart"), user),
        )
    if error:
        failed_start = server.desired_state == Server.Desired.RUNNING and server.actual_state not in criteria.RUNS
        label = _("Start failed") if failed_start else _("Last operation failed")
        cure = (_use_offered_port(server, user) or _supply(server, user, unbuilt) or start) if failed_start else None
        return Reason(kind="failed", severity=Severity.BAD, label=label, text=error, url=url, cure=cure)
    return _of_drift(server, user) if server.has_drifted else None


def _of_drift(server: Server, user: Visitor) -> Reason:
    if server.desired_state == Server.Desired.RUNNING:
        return Reason(
            kind="drift",
            severity=Severity.BAD,
            label=_("Should be running"),
            text=_("It should be running, but it was stopped on the host and not by left4me."),
            url=server.get_absolute_url(),
            cure=_operation(server, "start", _("Start"), user),
        )
    return Reason(
        kind="drift",
        severity=Severity.WARN,
        label=_("Should be stopped"),
        text=_("It should be stopped, but it runs."),
        url=server.get_absolute_url(),
        cure=_operation(server, "stop", _("Stop"), user),
    )


def _of_game(server: Server, user: Visitor, *, is_busy: bool) -> Reason | None:
    """Why its game is not the newest: the installed one is another, or Steam has a newer one."""
    url = server.get_absolute_url()
    if not _runs_old_game(server):
        if server.actual_state != Server.State.RUNNING or not server.host.update_is_wanted:
            return None
        text = _(
            "Steam has a newer build of the game. Players with the current game cannot join until it is installed "
            "on host “%(host)s” and the server restarts."
        ) % {"host": server.host.name}
        label = _("Game update available")
        return Reason(kind="game_outdated", severity=Severity.WARN, label=label, text=text, url=url)
    severity, label, text = _of_other_version(server)
    cure = None if is_busy else _operation(server, "restart", _("Restart"), user)
    return Reason(kind="game_update", severity=severity, label=label, text=text, url=url, cure=cure)


def _of_files(server: Server, user: Visitor) -> Reason:
    text = ngettext(
        "%(n)d file of the game is hidden by a copy of this server that is older than the last update.",
        "%(n)d files of the game are hidden by copies of this server that are older than the last update.",
        server.outdated_files,
    ) % {"n": server.outdated_files}
    cure = None
    if permissions.can_edit_server(user, server):
        cure = Cure(label=_("Show own copies"), url=address("servers:own_copies", server.pk))
    return Reason(
        kind="outdated_files",
        severity=Severity.WARN,
        label=_("Outdated game files"),
        text=text,
        url=server.get_absolute_url(),
        cure=cure,
    )


def _of_other_version(server: Server) -> tuple[Severity, str, str]:
    """How the version that it runs differs from the installed one. Ids begin with a time and end with a build."""
    runs, installed = server.game_version, server.host.game_version
    if runs.rpartition("-")[2] == installed.rpartition("-")[2]:
        text = _("The game was reinstalled. The server uses the new files after a restart.")
    elif runs > installed:
        text = _("The game was rolled back to an earlier build. The server uses it after a restart.")
    else:
        text = _("Players with the current game cannot join until it restarts: it runs an older build of the game.")
        return Severity.WARN, _("Game update waiting"), text
    return Severity.NOTE, _("Game change waiting"), text


def _host_is_down(server: Server) -> Reason:
    return Reason(
        kind="host_offline",
        severity=Severity.BAD,
        label=_("Host offline"),
        text=_("Its host “%(host)s” does not report, so its state is not known.") % {"host": server.host.name},
        url=server.host.get_absolute_url(),
    )


def _of_host(host: Host, install: Job | None, user: Visitor, now: datetime) -> list[Reason]:
    url = host.get_absolute_url()
    if host.is_down(now):
        text = _("It does not report. Jobs for it wait, and the state of its servers is not known.")
        label = _("Offline")
        return [Reason(kind="host_offline", severity=Severity.BAD, label=label, text=text, url=url)]
    reasons = []
    if host.refusal:
        label = _("Takes no jobs")
        reasons.append(Reason(kind="refuses", severity=Severity.BAD, label=label, text=host.refusal, url=url))
    if host.disk_is_low:
        text = _(
            "Only %(free).1f GB are free. Games, logs and the database fail when the disk is full. Free some space."
        ) % {"free": (host.disk_free or 0) / 1e9}
        label = _("Disk nearly full")
        cure = Cure(label=_("Delete unused items"), url=reverse("overlays:cache")) if is_admin(user) else None
        reasons.append(Reason(kind="disk_low", severity=Severity.BAD, label=label, text=text, url=url, cure=cure))
    if not host.game_version and not (install is not None and install.is_live):
        failed = install is not None and install.state == Job.State.FAILED
        reasons.append(
            Reason(
                kind="game_missing",
                severity=Severity.BAD,
                label=_("Game not installed"),
                text=install.error if failed and install else _("Servers on this host cannot start."),
                url=url,
                cure=_install(host, user, _("Retry") if failed else _("Install")),
            )
        )
    elif host.last_check is not None and (reason := _of_check(host, host.last_check, install, user)):
        reasons.append(reason)
    if host.backup_is_late(now):
        label = _("No recent backup")
        text = _("No backup of the machine was made in the last 36 hours, although the timer makes one every night.")
        cure = Cure(label=_("Open backups"), url=reverse("backups:machine")) if is_admin(user) else None
        reasons.append(Reason(kind="backup_late", severity=Severity.WARN, label=label, text=text, url=url, cure=cure))
    if note := host.release_note():
        label = _("Other release")
        reasons.append(Reason(kind="release", severity=Severity.WARN, label=label, text=note, url=url))
    return reasons


def _of_check(host: Host, check: GameCheck, install: Job | None, user: Visitor) -> Reason | None:
    """The update that its game needs, or that nobody knows whether it does."""
    if check.is_wanted_over(host.game_version):
        is_live = install is not None and install.is_live
        return Reason(
            kind="update_available",
            severity=Severity.WARN,
            label=_("Game update available"),
            text=_("Players with the current game cannot join servers until it is installed and they restart."),
            url=host.get_absolute_url(),
            cure=None if is_live else _install(host, user, _("Install")),
        )
    if check.failures >= _FAILED_CHECKS:
        text = _("Nobody knows whether Steam has a newer build: %(why)s") % {"why": check.error}
        label = _("Update check fails")
        url = host.get_absolute_url()
        return Reason(kind="update_unknown", severity=Severity.WARN, label=label, text=text, url=url)
    return None


def _install(host: Host, user: Visitor, label: str) -> Cure | None:
    url = address("servers:host_action", host.pk)
    return Cure(operation="install", label=label, url=url) if permissions.can_operate_host(user) else None


def _operation(server: Server, operation: str, label: str, user: Visitor) -> Cure | None:
    if permissions.role_of(user, server) not in {permissions.OWNER, permissions.ADMIN, ServerShare.Role.OPERATOR}:
        return None
    return Cure(operation=operation, label=label, url=address("servers:action", server.pk))


def _last_lines(server: Server) -> Cure:
    return Cure(label=_("Open last log lines"), url=address("livestate:console", server.pk))


def _supply(server: Server, user: Visitor, unbuilt: Overlay | None) -> Cure | None:
    """What provides a start with the thing that it lacks: the game, an overlay that was never built, a password."""
    if not server.host.game_version:
        return _install(server.host, user, _("Install the game"))
    if unbuilt is not None:
        return overlay_attention.rebuild(unbuilt, user, _("Build “%s”") % unbuilt.name)
    try:
        _password = server.rcon_password
    except secrets.Unreadable:
        label = _("New RCON password")
        url = address("servers:rotate", server.pk)
        return Cure(operation="rotate", label=label, url=url) if permissions.can_edit_server(user, server) else None
    return None


def _use_offered_port(server: Server, user: Visitor) -> Cure | None:
    if server.offered_port is None or not permissions.can_edit_server(user, server):
        return None
    label = _("Use port %(port)d and start") % {"port": server.offered_port}
    return Cure(operation="use_port", label=label, url=address("servers:use_port", server.pk))


def _runs_old_game(server: Server) -> bool:
    installed = server.host.game_version
    is_other = bool(server.game_version and installed) and server.game_version != installed
    return is_other and server.actual_state == Server.State.RUNNING


_crashes_of = select(
    lambda: criteria.crashes_since(Given("since")).filter(server__in=Numbers("servers")).order_by("at", "pk")
)


def _latest_crashes(servers: Sequence[Server], now: datetime) -> dict[int, StateChange]:
    rows = _crashes_of.rows(since=now - criteria.CRASH_SHOWN, servers=[server.pk for server in servers])
    return {row.server_id: row for row in rows}
