"""The commands and options of `left4mectl`. `deploy/cli.py` runs what `run` names."""

from __future__ import annotations

import argparse
import ipaddress
from pathlib import Path

from deploy.language import gettext as _
from deploy.ops import backup, upgrade


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="left4mectl", description=_("Manage left4me on this machine."))
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = subparsers.add_parser(
        "status", help=_("show the release, the state of the services and the last backup")
    )
    command.set_defaults(run="status")

    command = subparsers.add_parser(
        "doctor",
        help=_("check everything and print a fix for each problem; exits with status 1 if there is a problem"),
    )
    command.add_argument("--json", action="store_true", dest="as_json", help=_("print the findings as JSON"))
    command.set_defaults(run="doctor")

    _add_upgrade_commands(subparsers)
    _add_backup_commands(subparsers)

    command = subparsers.add_parser(
        "database", help=_("move the data to PostgreSQL or back to SQLite; games keep running")
    )
    _add_database_commands(command.add_subparsers(dest="database_command", required=True, metavar="COMMAND"))

    command = subparsers.add_parser("keys", help=_("replace the key that stored secrets are encrypted with"))
    _add_key_commands(command.add_subparsers(dest="key_command", required=True, metavar="COMMAND"))

    command = subparsers.add_parser("host", help=_("manage other machines that run game servers"))
    _add_host_commands(command.add_subparsers(dest="host_command", required=True, metavar="COMMAND"))

    command = subparsers.add_parser(
        "manage", help=_("run manage.py as the application's user and with its settings"), add_help=False
    )
    command.set_defaults(run="manage")
    return parser


def add_archive(source: argparse._ActionsContainer, command: argparse.ArgumentParser, *, help_text: str) -> None:
    """The options that name a release archive, `--from` among those of `source`."""
    source.add_argument("--from", dest="archive", metavar="FILE|URL", default="", help=help_text)
    command.add_argument(
        "--sha256",
        metavar="HEX",
        default="",
        help=_("with --from: the checksum (default: that in SHA256SUMS beside it)"),
    )


def _add_upgrade_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("upgrade", help=_("upgrade to a newer release; games keep running"))
    source = command.add_mutually_exclusive_group()
    source.add_argument(
        "--to", metavar="REF", help=_("a branch, tag or commit (default: the newest commit of the current branch)")
    )
    add_archive(source, command, help_text=_("a release archive, which is verified first"))
    command.add_argument(
        "--repository", metavar="URL", default="", help=_("follow this git repository from now on, instead of --from")
    )
    command.add_argument(
        "--allow-older", action="store_true", help=_("install the release also if it is older than the running one")
    )
    _add_ready(command)
    command.set_defaults(run="upgrade")

    command = subparsers.add_parser("rollback", help=_("roll back to the release before the last upgrade"))
    command.add_argument(
        "--with-database",
        action="store_true",
        help=_("also roll back the database; loses all changes since the upgrade"),
    )
    _add_ready(command)
    command.set_defaults(run="rollback")

    command = subparsers.add_parser("recover", help=_("undo an interrupted upgrade or restore; runs at every boot"))
    command.add_argument("--boot", action="store_true", help=_("don't start services; systemd starts them later"))
    command.set_defaults(run="recover")


def _add_backup_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "backup", help=_("back up everything that can't be recreated to one file, while left4me runs")
    )
    command.add_argument("--to", metavar="FILE|DIR", type=Path, help=_("the target (default: /var/backups/left4me)"))
    command.add_argument(
        "--keep",
        metavar="N",
        type=int,
        default=backup.KEEP,
        help=_("number of backups to keep there (default: %(default)s)"),
    )
    command.add_argument("--with-workshop", action="store_true", help=_("include downloaded workshop files"))
    command.add_argument("--with-copies", action="store_true", help=_("include the copies of servers of other hosts"))
    command.add_argument("--quiet", action="store_true", help=_("print errors only"))
    command.set_defaults(run="backup")

    command = subparsers.add_parser("restore", help=_("replace all data with a backup; stops all games"))
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--yes", action="store_true", help=_("don't ask for confirmation"))
    _add_ready(command)
    command.set_defaults(run="restore")


def _add_database_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "move", help=_("copy all rows to a new database, compare, and use it from then on")
    )
    command.add_argument("kind", choices=["postgres", "sqlite"])
    _add_ready(command)
    command.set_defaults(run="database_move")


def _add_key_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("rotate", help=_("make a new secret key and encrypt all stored secrets with it"))
    command.add_argument(
        "--forget-old",
        action="store_true",
        help=_("invalidate the old key at once, because somebody else may have it; signs out everybody"),
    )
    command.set_defaults(run="keys_rotate")


def _add_host_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("add", help=_("add a machine or renew its secrets; prints its join URL once"))
    command.add_argument("name", metavar="NAME", help=_("lower-case letters, digits and hyphens"))
    command.add_argument("--address", required=True, help=_("the address at which the other machine reaches this one"))
    command.add_argument("--public", default="", help=_("the address at which players reach the other machine"))
    command.add_argument(
        "--from",
        dest="peers",
        action="append",
        type=network,
        metavar="NETWORK",
        help=_("network from which PostgreSQL accepts hosts, such as 203.0.113.7/32; repeatable (default: anywhere)"),
    )
    command.add_argument(
        "--dry-run", action="store_true", help=_("print what would be done without changing anything")
    )
    command.set_defaults(run="host_add")
    command = subparsers.add_parser(
        "rekey",
        help=_("replace all secrets of a machine at once; prints its new join URL once; its games keep running"),
    )
    command.add_argument("name", metavar="NAME")
    command.set_defaults(run="host_rekey")
    command = subparsers.add_parser("join", help=_("on that machine: use the secrets of its new join URL"))
    command.add_argument("url", metavar="URL", help=_("the join URL; - reads it from standard input"))
    command.set_defaults(run="host_join")
    command = subparsers.add_parser("list", help=_("list all hosts with their status"))
    command.set_defaults(run="host_list")
    command = subparsers.add_parser("remove", help=_("remove a machine that has no servers, and revoke its access"))
    command.add_argument("name", metavar="NAME")
    command.add_argument(
        "--gone",
        action="store_true",
        help=_("the machine is lost or not yours any more: end its access, ask it for nothing"),
    )
    servers = command.add_mutually_exclusive_group()
    servers.add_argument(
        "--move-servers-to", metavar="HOST", default="", help=_("with --gone: its servers go to this host, stopped")
    )
    servers.add_argument("--delete-servers", action="store_true", help=_("with --gone: its servers are deleted"))
    command.set_defaults(run="host_remove")


def _add_ready(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ready-seconds",
        metavar="N",
        type=float,
        default=upgrade.READY_SECONDS,
        help=_("seconds to wait until the application is ready (default: %(default)s)"),
    )


def network(text: str) -> str:
    """The network as pg_hba.conf takes it: with an address that has no mask there, PostgreSQL does not start."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        words = _("“%(text)s” is not a network such as 203.0.113.7/32 or 2001:db8::/64") % {"text": text}
        raise argparse.ArgumentTypeError(words) from None
