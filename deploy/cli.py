"""The command line of `left4mectl`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from deploy import arguments as command_line
from deploy.doctor import installation
from deploy.language import ENGLISH, complain, of_system, say, speak
from deploy.language import gettext as _
from deploy.ops import (
    application,
    archive,
    backup,
    database_move,
    environment,
    plan,
    releases,
    restore,
    secret_key,
    tls,
    upgrade,
)
from deploy.ops.database import copies
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services
from deploy.ops.progress import Progress, readable_size
from deploy.ops.release_archive import contents
from deploy.ops.worker_host import invitation as invitations
from deploy.ops.worker_host import registry
from left4me.core.processes import commands

# Exceptions whose messages are written for the operator.
_FAULTS = (
    backup.BackupFault,
    restore.RestoreFault,
    upgrade.UpgradeFault,
    database_move.MoveFault,
    archive.BadArchive,
    environment.BadSettings,
    copies.DatabaseFault,
    releases.ReleaseFault,
    contents.BadPackage,
    tls.TlsFault,
    plan.CannotGoOn,
    invitations.JoinFault,
    commands.CommandError,
    OSError,
)


class Refused(Exception):
    """The command cannot run here or now; the message contains the reason."""


def main(arguments: Sequence[str], *, layout: Layout | None = None) -> int:
    """Run one command; returns the exit status."""
    # What other programs read stays in English.
    speak(ENGLISH if "--json" in arguments else of_system())
    parser = command_line.parser()
    # Everything after `manage` is passed to manage.py, including options.
    options, unknown = parser.parse_known_args(arguments[:1] if arguments[:1] == ["manage"] else arguments)
    if unknown:
        parser.error(_("unknown argument %(argument)s") % {"argument": unknown[0]})
    options.manage_arguments = list(arguments[1:])
    run = _COMMANDS[options.run]
    try:
        if os.geteuid() != 0:
            raise Refused(_("This command needs root. Run it with sudo."))
        return run(layout or Layout(), options)
    except (*_FAULTS, Refused) as fault:
        complain(f"left4mectl {options.command}: {fault}")
        return 1
    except KeyboardInterrupt:
        return 130


def _status(layout: Layout, options: argparse.Namespace) -> int:
    del options
    release = releases.running(layout)
    _row(_("release"), f"{release} ({releases.version(layout, release)})")
    _row(_("follows"), releases.follows(layout) or _("nothing; upgrade with `left4mectl upgrade --from FILE|URL`"))
    for unit, state in services.states(layout).items():
        _row(state, unit)
    if services.role(layout) is Role.WEB:
        _row(_("backup"), str(backup.latest(layout) or _("none yet: `left4mectl backup`")))
    why = application.unready(layout)
    _row(_("ready"), _("no: %(reason)s") % {"reason": why} if why else _("yes"))
    return 1 if why else 0


def _row(name: str, value: str) -> None:
    say(f"{name:<8} {value}")


def _doctor(layout: Layout, options: argparse.Namespace) -> int:
    return installation.run(layout, as_json=options.as_json, out=sys.stdout)


def _upgrade(layout: Layout, options: argparse.Namespace) -> int:
    if options.archive and options.repository:
        raise Refused(_("--from and --repository exclude each other."))
    if options.sha256 and not options.archive:
        raise Refused(_("--sha256 is the checksum of the archive that --from names."))
    wanted = upgrade.Wanted(
        options.to, options.archive, options.sha256, options.repository, may_be_older=options.allow_older
    )
    with plan.alone(layout):
        progress = Progress()
        release = upgrade.upgrade(layout, wanted, ready_seconds=options.ready_seconds, progress=progress)
        progress.say(_("%(release)s is running and ready") % {"release": release})
    return 0


def _rollback(layout: Layout, options: argparse.Namespace) -> int:
    with plan.alone(layout):
        progress = Progress()
        release = upgrade.rollback(
            layout,
            with_database=options.with_database,
            ready_seconds=options.ready_seconds,
            progress=progress,
        )
        progress.say(_("%(release)s is running and ready") % {"release": release})
    return 0


def _recover(layout: Layout, options: argparse.Namespace) -> int:
    with plan.alone(layout):
        progress = Progress()
        upgrade_recovered = upgrade.recover(layout, progress=progress, at_boot=options.boot)
        restore_recovered = restore.recover(layout, progress=progress, at_boot=options.boot)
        if not (upgrade_recovered or restore_recovered):
            progress.say(_("no interrupted upgrade or restore found"))
    return 0


def _backup(layout: Layout, options: argparse.Namespace) -> int:
    progress = Progress(quiet=options.quiet)
    made = backup.make(
        layout,
        to=options.to,
        keep=options.keep,
        with_workshop=options.with_workshop,
        with_copies=options.with_copies,
        now=datetime.now(UTC),
        progress=progress,
        by=backup.TIMER if os.environ.get("TRIGGER_UNIT") == services.BACKUP_TIMER else backup.HAND,
    )
    for name in made.skipped.names:
        complain(_("left out: %(name)s") % {"name": name})
    progress.say(f"{made.path} ({readable_size(made.size)})")
    return 0


def _restore(layout: Layout, options: argparse.Namespace) -> int:
    with plan.alone(layout):
        if not options.yes:
            _ask(
                _("This stops all games on this machine and replaces its data with %(file)s. Continue?")
                % {"file": options.file}
            )
        progress = Progress()
        hints = restore.restore(layout, options.file, ready_seconds=options.ready_seconds, progress=progress)
        progress.say(_("restored; the application is running and ready"))
        for hint in hints:
            progress.say(hint)
    return 0


def _database_move(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    with plan.alone(layout):
        kept = database_move.move(layout, options.kind, ready_seconds=options.ready_seconds, progress=Progress())
    say(
        _("The data is in %(kind)s now. The old database is kept, unchanged: %(kept)s")
        % {"kind": options.kind, "kept": kept}
    )
    return 0


def _keys_rotate(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    with plan.alone(layout):
        progress = Progress()
        rotated = secret_key.rotate(layout, forget_old=options.forget_old, say=progress.say)
    say(_("Rotated the secret key. Secrets encrypted with it: %(resealed)s.") % {"resealed": rotated.resealed})
    for name in rotated.unreadable:
        say(_("Not readable with either key: the secret of %(name)s. Set it again.") % {"name": name})
    for host in rotated.worker_hosts:
        say(
            _(
                "%(host)s has the old key, and cannot use RCON until it is upgraded: run `left4mectl upgrade` "
                "there. It then gets a key of its own."
            )
            % {"host": host}
        )
    return 0


def _host_add(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    with plan.alone(layout):
        peers = tuple(options.peers or ("0.0.0.0/0", "::/0"))  # each host also needs TLS and a password
        steps = registry.steps(layout, address=options.address, peers=peers)
        plan.run(steps, dry_run=options.dry_run, out=sys.stderr)
        if options.dry_run:
            return 0
        invitation = registry.add(layout, options.name, address=options.address, public=options.public)
    complain(
        _(
            "%(name)s can join. On that machine, in a clone or an unpacked release archive of left4me, run:\n"
            "    deploy/install --worker-only --join URL\n"
            "with this URL. It contains the passwords of the host and is shown only once:"
        )
        % {"name": options.name}
    )
    sys.stdout.write(f"{invitation.url()}\n")
    return 0


def _host_rekey(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    with plan.alone(layout):
        invitation = registry.rekey(layout, options.name)
    ended = datetime.now(UTC).strftime("%H:%M:%S UTC")
    message = _(
        "The old secrets of %(name)s are invalid since %(time)s. Its games keep running. It is back when you have run "
        "`left4mectl host join URL` on that machine, with this URL, which contains its passwords:"
    )
    sys.stderr.write(f"{message % {'name': options.name, 'time': ended}}\n")
    say(invitation.url())
    return 0


def _host_join(layout: Layout, options: argparse.Namespace) -> int:
    if services.role(layout) is not Role.WORKER_HOST:
        raise Refused(_("This machine runs the web. Run this command on the machine of the host."))
    with plan.alone(layout):
        invitation = invitations.read(sys.stdin.read() if options.url == "-" else options.url)
        invitations.renew(layout, invitation)
    say(_("This machine runs servers as “%(name)s” again.") % {"name": invitation.name})
    return 0


def _host_list(layout: Layout, options: argparse.Namespace) -> int:
    del options
    say(application.manage(layout, "list_hosts").output.rstrip())
    return 0


def _host_remove(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    servers: tuple[str, ...] = ("--delete-servers",) if options.delete_servers else ()
    if options.move_servers_to:
        servers = ("--move-servers-to", options.move_servers_to)
    if servers and not options.gone:
        raise Refused(_("Add --gone: servers of a machine that works are deleted on their pages."))
    with plan.alone(layout):
        if options.gone:
            message = registry.remove_lost(layout, options.name, options=servers)
        else:
            message = registry.remove(layout, options.name)
    sys.stdout.write(f"{message}\n")
    return 0


def _refuse_worker_host(layout: Layout) -> None:
    if services.role(layout) is Role.WORKER_HOST:
        raise Refused(_("This machine only runs game servers. Run this command on the machine that runs the web."))


def _manage(layout: Layout, options: argparse.Namespace) -> int:
    """Replaces this process by manage.py, so that `shell` and questions have the terminal."""
    application.become_manage(layout, options.manage_arguments)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Refused(_("This command asks for confirmation. Without a terminal, pass --yes."))
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes", *_("y, yes").split(", ")):
        raise Refused(_("No changes made."))


_COMMANDS: Final[dict[str, Callable[[Layout, argparse.Namespace], int]]] = {
    "status": _status,
    "doctor": _doctor,
    "manage": _manage,
    "upgrade": _upgrade,
    "rollback": _rollback,
    "recover": _recover,
    "backup": _backup,
    "restore": _restore,
    "database_move": _database_move,
    "keys_rotate": _keys_rotate,
    "host_add": _host_add,
    "host_rekey": _host_rekey,
    "host_join": _host_join,
    "host_list": _host_list,
    "host_remove": _host_remove,
}
