"""The command line of `left4mectl`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploy.doctor import installation
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
    tls.TlsFault,
    plan.CannotGoOn,
    commands.CommandError,
    OSError,
)


class Refused(Exception):
    """The command cannot run here or now; the message contains the reason."""


def main(arguments: Sequence[str], *, layout: Layout | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    # Everything after `manage` is passed to manage.py, including options.
    options, unknown = parser.parse_known_args(arguments[:1] if arguments[:1] == ["manage"] else arguments)
    if unknown:
        parser.error(f"left4mectl {options.command}: unknown argument {unknown[0]}")
    options.manage_arguments = list(arguments[1:])
    run: Callable[[Layout, argparse.Namespace], int] = options.run
    try:
        if os.geteuid() != 0:
            raise Refused("This command needs root. Run it with sudo.")
        return run(layout or Layout(), options)
    except (*_FAULTS, Refused) as fault:
        sys.stderr.write(f"left4mectl {options.command}: {fault}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="left4mectl", description="Manage left4me on this machine.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = subparsers.add_parser("status", help="show the release, the state of the services and the last backup")
    command.set_defaults(run=_status)

    command = subparsers.add_parser(
        "doctor", help="check everything and print a fix for each problem; exits with status 1 if there is a problem"
    )
    command.add_argument("--json", action="store_true", dest="as_json", help="print the findings as JSON")
    command.set_defaults(run=_doctor)

    _add_upgrade_commands(subparsers)
    _add_backup_commands(subparsers)

    command = subparsers.add_parser(
        "database", help="move the data to PostgreSQL or back to SQLite; games keep running"
    )
    _add_database_commands(command.add_subparsers(dest="database_command", required=True, metavar="COMMAND"))

    command = subparsers.add_parser("keys", help="replace the key that stored secrets are encrypted with")
    _add_key_commands(command.add_subparsers(dest="key_command", required=True, metavar="COMMAND"))

    command = subparsers.add_parser("host", help="manage other machines that run game servers")
    _add_host_commands(command.add_subparsers(dest="host_command", required=True, metavar="COMMAND"))

    command = subparsers.add_parser(
        "manage", help="run manage.py as the application's user and with its settings", add_help=False
    )
    command.set_defaults(run=_manage)
    return parser


def _add_upgrade_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("upgrade", help="upgrade to a newer release; games keep running")
    command.add_argument(
        "--to", metavar="REF", help="a branch, tag or commit (default: the newest commit of the current branch)"
    )
    _add_ready(command)
    command.set_defaults(run=_upgrade)

    command = subparsers.add_parser("rollback", help="roll back to the release before the last upgrade")
    command.add_argument(
        "--with-database", action="store_true", help="also roll back the database; loses all changes since the upgrade"
    )
    _add_ready(command)
    command.set_defaults(run=_rollback)

    command = subparsers.add_parser("recover", help="undo an interrupted upgrade or restore; runs at every boot")
    command.add_argument("--boot", action="store_true", help="don't start services; systemd starts them later")
    command.set_defaults(run=_recover)


def _add_backup_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "backup", help="back up everything that can't be recreated to one file, while left4me runs"
    )
    command.add_argument("--to", metavar="FILE|DIR", type=Path, help="the target (default: /var/backups/left4me)")
    command.add_argument(
        "--keep",
        metavar="N",
        type=int,
        default=backup.KEEP,
        help="number of backups to keep there (default: %(default)s)",
    )
    command.add_argument("--with-workshop", action="store_true", help="include downloaded workshop files")
    command.add_argument("--quiet", action="store_true", help="print errors only")
    command.set_defaults(run=_backup)

    command = subparsers.add_parser("restore", help="replace all data with a backup; stops all games")
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--yes", action="store_true", help="don't ask for confirmation")
    _add_ready(command)
    command.set_defaults(run=_restore)


def _add_database_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("move", help="copy all rows to a new database, compare, and use it from then on")
    command.add_argument("kind", choices=["postgres", "sqlite"])
    _add_ready(command)
    command.set_defaults(run=_database_move)


def _add_key_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("rotate", help="make a new secret key and encrypt all stored secrets with it")
    command.add_argument(
        "--forget-old",
        action="store_true",
        help="invalidate the old key at once, because somebody else may have it; signs out everybody",
    )
    command.set_defaults(run=_keys_rotate)


def _add_host_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("add", help="add a machine or renew its secrets; prints its join URL once")
    command.add_argument("name", metavar="NAME", help="lower-case letters, digits and hyphens")
    command.add_argument("--address", required=True, help="the address at which the other machine reaches this one")
    command.add_argument("--public", default="", help="the address at which players reach the other machine")
    command.add_argument(
        "--from",
        dest="peers",
        action="append",
        metavar="NETWORK",
        help="network from which PostgreSQL accepts hosts, such as 203.0.113.7/32; repeatable (default: anywhere)",
    )
    command.add_argument("--dry-run", action="store_true", help="print what would be done without changing anything")
    command.set_defaults(run=_host_add)
    command = subparsers.add_parser("list", help="list all hosts with their status")
    command.set_defaults(run=_host_list)
    command = subparsers.add_parser("remove", help="remove a machine that has no servers, and revoke its access")
    command.add_argument("name", metavar="NAME")
    command.add_argument(
        "--gone",
        action="store_true",
        help="the machine is lost or not yours any more: end its access, ask it for nothing",
    )
    servers = command.add_mutually_exclusive_group()
    servers.add_argument(
        "--move-servers-to", metavar="HOST", default="", help="with --gone: its servers go to this host, stopped"
    )
    servers.add_argument("--delete-servers", action="store_true", help="with --gone: its servers are deleted")
    command.set_defaults(run=_host_remove)


def _add_ready(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ready-seconds",
        metavar="N",
        type=float,
        default=upgrade.READY_SECONDS,
        help="seconds to wait until the application is ready (default: %(default)s)",
    )


def _status(layout: Layout, options: argparse.Namespace) -> int:
    del options
    sys.stdout.write(f"release  {releases.running(layout)}\n")
    for unit, state in services.states(layout).items():
        sys.stdout.write(f"{state:<8} {unit}\n")
    if services.role(layout) is Role.WEB:
        newest = backup.latest(layout)
        sys.stdout.write(f"backup   {newest or 'none yet: `left4mectl backup`'}\n")
    why = application.unready(layout)
    sys.stdout.write(f"ready    {'yes' if not why else f'no: {why}'}\n")
    return 1 if why else 0


def _doctor(layout: Layout, options: argparse.Namespace) -> int:
    return installation.run(layout, as_json=options.as_json, out=sys.stdout)


def _upgrade(layout: Layout, options: argparse.Namespace) -> int:
    with plan.alone(layout):
        progress = Progress()
        release = upgrade.upgrade(layout, to=options.to, ready_seconds=options.ready_seconds, progress=progress)
        progress.say(f"{release} is running and ready")
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
        progress.say(f"{release} is running and ready")
    return 0


def _recover(layout: Layout, options: argparse.Namespace) -> int:
    with plan.alone(layout):
        progress = Progress()
        upgrade_recovered = upgrade.recover(layout, progress=progress, at_boot=options.boot)
        restore_recovered = restore.recover(layout, progress=progress, at_boot=options.boot)
        if not (upgrade_recovered or restore_recovered):
            progress.say("no interrupted upgrade or restore found")
    return 0


def _backup(layout: Layout, options: argparse.Namespace) -> int:
    progress = Progress(quiet=options.quiet)
    made = backup.make(
        layout,
        to=options.to,
        keep=options.keep,
        with_workshop=options.with_workshop,
        now=datetime.now(UTC),
        progress=progress,
        by=backup.TIMER if os.environ.get("TRIGGER_UNIT") == services.BACKUP_TIMER else backup.HAND,
    )
    for name in made.skipped.names:
        sys.stderr.write(f"left out: {name}\n")
    progress.say(f"{made.path} ({readable_size(made.size)})")
    return 0


def _restore(layout: Layout, options: argparse.Namespace) -> int:
    with plan.alone(layout):
        if not options.yes:
            _ask(f"This stops all games on this machine and replaces its data with {options.file}. Continue?")
        progress = Progress()
        hints = restore.restore(layout, options.file, ready_seconds=options.ready_seconds, progress=progress)
        progress.say("restored; the application is running and ready")
        for hint in hints:
            progress.say(hint)
    return 0


def _database_move(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    with plan.alone(layout):
        kept = database_move.move(layout, options.kind, ready_seconds=options.ready_seconds, progress=Progress())
    sys.stdout.write(f"The data is in {options.kind} now. The old database is kept, unchanged: {kept}\n")
    return 0


def _keys_rotate(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    with plan.alone(layout):
        progress = Progress()
        rotated = secret_key.rotate(layout, forget_old=options.forget_old, say=progress.say)
    sys.stdout.write(f"Rotated the secret key. Secrets encrypted with it: {rotated.resealed}.\n")
    for name in rotated.unreadable:
        sys.stdout.write(f"Not readable with either key: the secret of {name}. Set it again.\n")
    for host in rotated.worker_hosts:
        sys.stdout.write(
            f"{host} has the old key, and cannot use RCON until it joins again: run `left4mectl host add {host}` with "
            "its options here, then `deploy/install --worker-only --join URL` there.\n"
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
    sys.stderr.write(
        f"{options.name} can join. On that machine, in a clone of left4me, run:\n"
        "    deploy/install --worker-only --join URL\n"
        "with this URL. It contains the passwords of the host and is shown only once:\n"
    )
    sys.stdout.write(f"{invitation.url()}\n")
    return 0


def _host_list(layout: Layout, options: argparse.Namespace) -> int:
    del options
    sys.stdout.write(application.manage(layout, "list_hosts").output.rstrip() + "\n")
    return 0


def _host_remove(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_worker_host(layout)
    servers: tuple[str, ...] = ("--delete-servers",) if options.delete_servers else ()
    if options.move_servers_to:
        servers = ("--move-servers-to", options.move_servers_to)
    if servers and not options.gone:
        raise Refused("Add --gone: servers of a machine that works are deleted on their pages.")
    with plan.alone(layout):
        if options.gone:
            message = registry.remove_lost(layout, options.name, options=servers)
        else:
            message = registry.remove(layout, options.name)
    sys.stdout.write(f"{message}\n")
    return 0


def _refuse_worker_host(layout: Layout) -> None:
    if services.role(layout) is Role.WORKER_HOST:
        raise Refused("This machine only runs game servers. Run this command on the machine that runs the web.")


def _manage(layout: Layout, options: argparse.Namespace) -> int:
    """Replaces this process by manage.py, so that `shell` and questions have the terminal."""
    application.become_manage(layout, options.manage_arguments)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Refused("This command asks for confirmation. Without a terminal, pass --yes.")
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("No changes made.")
