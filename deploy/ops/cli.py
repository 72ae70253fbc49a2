"""The words that `left4mectl` understands."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from deploy.doctor import installation
from deploy.ops import application, archive, backup, plan, releases, restore, tls, upgrade
from deploy.ops.database import copies
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.progress import Progress, in_words
from deploy.ops.worker_host import registry
from deploy.ops.worker_host import upgrade as worker_host_upgrade
from left4me.core.processes import commands, process_guard

# What a command may raise whose message is meant for the operator as it stands.
_FAULTS = (
    backup.BackupFault,
    restore.RestoreFault,
    upgrade.UpgradeFault,
    archive.BadArchive,
    copies.DatabaseFault,
    releases.ReleaseFault,
    worker_host_upgrade.SecondFault,
    tls.TlsFault,
    plan.CannotGoOn,
    commands.CommandError,
    OSError,
)


class Refused(Exception):
    """The command cannot run here or now; the message says why."""


def main(arguments: Sequence[str], *, layout: Layout | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    # What follows `manage` is manage.py's, options and all.
    options, rest = parser.parse_known_args(arguments[:1] if arguments[:1] == ["manage"] else arguments)
    if rest:
        parser.error(f"left4mectl {options.command} knows no {rest[0]}")
    options.rest = list(arguments[1:])
    run: Callable[[Layout, argparse.Namespace], int] = options.run
    try:
        return run(layout or Layout(), options)
    except (*_FAULTS, Refused) as fault:
        sys.stderr.write(f"left4mectl {options.command}: {fault}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="left4mectl", description="Looks after left4me on this machine.")
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    word = words.add_parser("status", help="what runs, which release, since when")
    word.set_defaults(run=_status)

    word = words.add_parser("doctor", help="look at everything and say the cure of each fault; exits 1 on a fault")
    word.add_argument("--json", action="store_true", dest="as_json", help="print the findings as JSON")
    word.set_defaults(run=_doctor)

    word = words.add_parser("upgrade", help="bring left4me to a newer release; games go on")
    word.add_argument("--to", metavar="REF", help="a branch, tag or commit; else the newest of the present branch")
    _add_ready(word)
    word.set_defaults(run=_upgrade)

    word = words.add_parser("rollback", help="go back to the release before the last upgrade")
    word.add_argument("--with-database", action="store_true", help="the database too: loses what was done since")
    _add_ready(word)
    word.set_defaults(run=_rollback)

    word = words.add_parser("recover", help="take back an upgrade or restore that was cut off; the boot does this")
    word.add_argument("--boot", action="store_true", help="start nothing: systemd is about to")
    word.set_defaults(run=_recover)

    word = words.add_parser("backup", help="one file that holds what cannot be made again, while all runs")
    word.add_argument("--to", metavar="FILE|DIR", type=Path, help="where to; else /var/backups/left4me")
    word.add_argument(
        "--keep", metavar="N", type=int, default=backup.KEEP, help="the newest to keep there (%(default)s)"
    )
    word.add_argument("--with-workshop", action="store_true", help="add downloaded workshop files; Steam has them too")
    word.add_argument("--quiet", action="store_true", help="say nothing but faults")
    word.set_defaults(run=_backup)

    word = words.add_parser("restore", help="put everything of a backup back; ends all games first")
    word.add_argument("file", metavar="FILE", type=Path)
    word.add_argument("--yes", action="store_true", help="do not ask")
    _add_ready(word)
    word.set_defaults(run=_restore)

    word = words.add_parser("host", help="other machines that run servers for this one")
    _add_host_words(word.add_subparsers(dest="host_command", required=True, metavar="COMMAND"))

    word = words.add_parser("manage", help="manage.py, as the application's user with its settings", add_help=False)
    word.set_defaults(run=_manage)
    return parser


def _add_host_words(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    word = words.add_parser("add", help="admit a machine, or give one new keys; prints its join URL, this once")
    word.add_argument("name", metavar="NAME", help="small letters, digits and hyphens")
    word.add_argument("--address", required=True, help="this machine's address as the other one reaches it")
    word.add_argument("--public", default="", help="the other machine's address as players reach it")
    word.add_argument(
        "--from",
        dest="peers",
        action="append",
        metavar="NETWORK",
        help="from where PostgreSQL lets hosts in, such as 203.0.113.7/32; may be said more than once (anywhere)",
    )
    word.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    word.set_defaults(run=_host_add)
    word = words.add_parser("list", help="all hosts, and how they are")
    word.set_defaults(run=_host_list)
    word = words.add_parser("remove", help="forget a machine that has no servers, and end its access")
    word.add_argument("name", metavar="NAME")
    word.set_defaults(run=_host_remove)


def _add_ready(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ready-seconds",
        metavar="N",
        type=float,
        default=upgrade.READY_SECONDS,
        help="how long /ready may take to be content (%(default)s)",
    )


def _status(layout: Layout, options: argparse.Namespace) -> int:
    del options
    _refuse_others()
    sys.stdout.write(f"release  {releases.running(layout)}\n")
    for unit, state in services.states(layout).items():
        sys.stdout.write(f"{state:<8} {unit}\n")
    newest = backup.latest(layout)
    sys.stdout.write(f"backup   {newest or 'none yet: `left4mectl backup`'}\n")
    why = worker_host_upgrade.trouble(layout, seconds=1) if services.is_second(layout) else application.unready(layout)
    sys.stdout.write(f"ready    {'yes' if not why else f'no: {why}'}\n")
    return 1 if why else 0


def _doctor(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_others()
    return installation.run(layout, as_json=options.as_json, out=sys.stdout)


def _upgrade(layout: Layout, options: argparse.Namespace) -> int:
    with _alone(layout):
        progress = Progress()
        if services.is_second(layout):
            release = worker_host_upgrade.upgrade(layout, to=options.to, progress=progress)
        else:
            release = upgrade.upgrade(layout, to=options.to, ready_seconds=options.ready_seconds, progress=progress)
        progress.say(f"{release} runs and is ready")
    return 0


def _rollback(layout: Layout, options: argparse.Namespace) -> int:
    with _alone(layout):
        progress = Progress()
        release = upgrade.rollback(
            layout,
            with_database=options.with_database,
            ready_seconds=options.ready_seconds,
            progress=progress,
        )
        progress.say(f"{release} runs and is ready")
    return 0


def _recover(layout: Layout, options: argparse.Namespace) -> int:
    with _alone(layout):
        progress = Progress()
        found = upgrade.recover(layout, progress=progress, at_boot=options.boot)
        found = restore.recover(layout, progress=progress, at_boot=options.boot) or found
        if not found:
            progress.say("nothing was cut off")
    return 0


def _backup(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_others()
    progress = Progress(quiet=options.quiet)
    made = backup.make(
        layout,
        to=options.to,
        keep=options.keep,
        with_workshop=options.with_workshop,
        now=datetime.now(UTC),
        progress=progress,
    )
    for name in made.skipped.names:
        sys.stderr.write(f"left out: {name}\n")
    progress.say(f"{made.path} ({in_words(made.size)})")
    return 0


def _restore(layout: Layout, options: argparse.Namespace) -> int:
    with _alone(layout):
        if not options.yes:
            _ask(f"All games of this machine end, and its data become those of {options.file}. Go on?")
        progress = Progress()
        left = restore.restore(layout, options.file, ready_seconds=options.ready_seconds, progress=progress)
        progress.say("restored; the application runs and is ready")
        for line in left:
            progress.say(line)
    return 0


def _host_add(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_second(layout)
    with _alone(layout):
        peers = tuple(options.peers or ("0.0.0.0/0", "::/0"))  # TLS and a password are asked for in any case
        steps = registry.steps(layout, address=options.address, peers=peers)
        plan.run(steps, dry_run=options.dry_run, out=sys.stderr)
        if options.dry_run:
            return 0
        invitation = registry.add(layout, options.name, address=options.address, public=options.public)
    sys.stderr.write(
        f"{options.name} may join. On that machine, in a clone of left4me, run:\n"
        "    deploy/install --worker-only --join URL\n"
        "with this URL, which holds its passwords and is shown this once:\n"
    )
    sys.stdout.write(f"{invitation.url()}\n")
    return 0


def _host_list(layout: Layout, options: argparse.Namespace) -> int:
    del options
    _refuse_others()
    sys.stdout.write(application.manage(layout, "list_hosts").output.rstrip() + "\n")
    return 0


def _host_remove(layout: Layout, options: argparse.Namespace) -> int:
    _refuse_second(layout)
    with _alone(layout):
        sys.stdout.write(f"{registry.remove(layout, options.name)}\n")
    return 0


def _refuse_second(layout: Layout) -> None:
    _refuse_others()
    if services.is_second(layout):
        raise Refused("This machine runs servers for a web elsewhere. Run this there.")


def _manage(layout: Layout, options: argparse.Namespace) -> int:
    """Becomes manage.py, so that it has the terminal to itself: `shell` and questions work."""
    _refuse_others()
    application.become_manage(layout, options.rest)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Refused("Nobody is there to be asked. Say --yes.")
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("Nothing was done.")


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """One command at a time changes the machine, and what it started ends with it, even when it is killed."""
    _refuse_others()
    with (layout.program / ".left4mectl.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("Another upgrade or restore is under way. Wait for it to end.") from None
        process_guard.guard_this_process()
        yield


def _refuse_others() -> None:
    if os.geteuid() != 0:
        raise Refused("This needs root: sudo left4mectl …")
