"""The command line of `deploy/install`, which makes a Debian machine a left4me host.

It can be run again, and then does what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy import arguments
from deploy.doctor import findings, machine
from deploy.doctor.findings import Finding
from deploy.language import complain, of_system, say, speak
from deploy.language import gettext as _
from deploy.ops import environment, plan, releases, uninstall
from deploy.ops.installation import Choices, Installation
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import preflight, services
from deploy.ops.plan import CannotGoOn
from deploy.ops.progress import Progress
from deploy.ops.release_archive import contents, intake
from deploy.ops.worker_host import invitation as host_invitation
from deploy.ops.worker_host.invitation import Invitation
from left4me.core.processes import commands

_DOMAIN: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_FAULTS: Final = (
    CannotGoOn,
    contents.BadPackage,
    environment.BadSettings,
    host_invitation.JoinFault,
    releases.ReleaseFault,
    commands.CommandError,
    OSError,
)


def main(arguments: Sequence[str], *, layout: Layout | None = None) -> int:
    """Install or uninstall; returns the exit status."""
    speak(of_system())
    options = _parser().parse_args(arguments)
    layout = layout or Layout()
    try:
        preflight.refuse_ordinary_users()
        changes = not options.dry_run and (not options.uninstall or layout.program.exists())
        with plan.alone(layout) if changes else contextlib.nullcontext():
            if options.uninstall:
                return uninstall.run(layout, purge=options.purge, dry_run=options.dry_run)
            choices = Choices(options.domain, options.tls, options.database, options.game, _release(layout, options))
            return _install(layout, choices, _invitation(layout, options), dry_run=options.dry_run)
    except _FAULTS as fault:
        complain(f"deploy/install: {fault}")
        return 1
    except KeyboardInterrupt:
        complain("deploy/install: " + _("interrupted. Run it again to continue."))
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/install",
        description=_(
            "Install left4me on this machine (Debian 12 or 13, as root). Run it again to add what is missing."
        ),
    )
    parser.add_argument("--dry-run", action="store_true", help=_("print what would be done without changing anything"))
    parser.add_argument(
        "--domain", type=_domain, metavar="NAME", help=_("serve left4me under this domain name with Caddy and TLS")
    )
    parser.add_argument(
        "--tls",
        choices=["auto", "internal"],
        default="auto",
        help=_("with --domain: a public certificate (auto), or one from Caddy's own authority for private networks"),
    )
    parser.add_argument(
        "--database",
        choices=["sqlite", "postgres"],
        help=_("default: sqlite; `left4mectl database move` changes it later"),
    )
    parser.add_argument("--game", choices=["steam", "simulated"], help=_("default: steam"))
    arguments.add_archive(
        parser,
        parser,
        help_text=_("install this release archive, verified first, instead of what deploy/install lies in"),
    )
    parser.add_argument(
        "--worker-only", action="store_true", help=_("only run game servers for a web machine; needs --join")
    )
    parser.add_argument(
        "--join",
        metavar="URL",
        help=_("the URL that `left4mectl host add` printed on the web machine; - reads it from standard input"),
    )
    parser.add_argument(
        "--uninstall", action="store_true", help=_("remove everything except data, settings and backups")
    )
    parser.add_argument(
        "--purge", action="store_true", help=_("with --uninstall: also remove data, settings and backups")
    )
    return parser


def _domain(text: str) -> str:
    name = text.strip().lower().rstrip(".")
    if not _DOMAIN.fullmatch(name):
        raise argparse.ArgumentTypeError(
            _("“%(text)s” is not a domain name such as left4me.example.org") % {"text": text}
        )
    return name


def _release(layout: Layout, options: argparse.Namespace) -> str | None:
    """The release of the archive that --from names, verified and ready to be built. Raises CannotGoOn, BadPackage."""
    if not options.archive:
        return None
    if layout.current.is_symlink():
        raise CannotGoOn(
            _("left4me is installed here already. Use `left4mectl upgrade --from %(archive)s`.")
            % {"archive": options.archive}
        )
    if not options.dry_run:
        return intake.take(layout, options.archive, sha256=options.sha256, progress=Progress()).name
    with tempfile.TemporaryDirectory(prefix="left4me-install-") as folder:
        beside = Layout(Path(folder))
        beside.settings.parent.mkdir()
        beside.settings.symlink_to(layout.settings)  # where the signers are
        return intake.take(beside, options.archive, sha256=options.sha256, progress=Progress()).name


def _invitation(layout: Layout, options: argparse.Namespace) -> Invitation | None:
    """The invitation of a machine that is to become a worker host. Raises CannotGoOn, JoinFault.

    A machine that is one already is repaired without an invitation, unless it has no secrets of the web yet.
    """
    is_worker_host = services.is_worker_host(layout)
    if not (options.worker_only or options.join) and not is_worker_host:
        return None
    if is_worker_host and not options.join:
        if options.domain or options.database:
            raise CannotGoOn(
                _(
                    "This machine is a worker host: it has neither a web (--domain) nor a database (--database). "
                    "Leave these options out, or run `deploy/install --uninstall` first to make it a web."
                )
            )
        if not host_invitation.has_secrets(layout):
            raise CannotGoOn(
                _(
                    "This machine is a worker host that has not joined a web yet. Give --worker-only --join URL, "
                    "which `left4mectl host add` on the machine of the web prints."
                )
            )
        return None
    if not (options.worker_only and options.join):
        raise CannotGoOn(
            _("--worker-only needs --join URL, and the other way round. Get the URL from `left4mectl host add`.")
        )
    if options.domain or options.database:
        raise CannotGoOn(_("--worker-only can't be combined with --domain or --database."))
    if services.role(layout) is Role.WEB:
        raise CannotGoOn(_("This machine already runs the web. Uninstall it first, or leave out --worker-only."))
    return host_invitation.read(sys.stdin.read() if options.join == "-" else options.join)


def _install(layout: Layout, choices: Choices, invitation: Invitation | None, *, dry_run: bool) -> int:
    role = Role.WORKER_HOST if invitation or services.is_worker_host(layout) else Role.WEB
    game = choices.game or environment.read(layout).get("LEFT4ME_GAME") or "steam"
    preflight.check(layout, role, with_proxy=choices.domain is not None, game=game)
    if invitation is not None:
        host_invitation.refuse_unreachable(invitation)
    installation = Installation(layout, choices, invitation=invitation)
    if choices.database not in (None, installation.database):
        raise CannotGoOn(
            _(
                "This machine runs on %(database)s, and deploy/install cannot move its data to another "
                "database. Leave out --database, or uninstall with --purge first."
            )
            % {"database": installation.database}
        )
    count = plan.run(installation.steps(), dry_run=dry_run)
    if count == 0:
        say(_("Nothing to do: %(release)s is installed and ready.") % {"release": installation.release})
    elif dry_run:
        say(_("No changes made."))
    else:
        say(_what_next(installation))
        findings.report(game_needs(layout, game), write=sys.stdout.write, as_json=False)
    return 0


def game_needs(layout: Layout, game: str) -> list[Finding]:
    """What the real game still lacks on this machine after its packages are installed, with the cure of each."""
    checks = {
        "32-bit libraries": lambda: machine.libraries_32_bit(game=game),
        "disk": lambda: machine.disk(layout.data, game=game),
    }
    return [finding for finding in findings.examine(checks) if finding.level != "ok"]


def _what_next(installation: Installation) -> str:
    """What the operator does after an installation."""
    settings = environment.read(installation.layout)
    if installation.role is Role.WORKER_HOST:
        return _(
            "This machine runs servers as “%(host)s”. Install the game on the page of that host, and open the game's "
            "UDP ports: `systemctl enable --now left4me-firewall`; docs/second-host.md."
        ) % {"host": settings.get("LEFT4ME_HOST", "")}
    lines = [_("left4me %(release)s is installed. Create an admin account:") % {"release": installation.release}, ""]
    lines += ["    left4mectl manage create_user NAME --admin", ""]
    if settings.get("LEFT4ME_BEHIND_TLS") == "true":
        name = settings.get("LEFT4ME_ALLOWED_HOSTS", "").partition(",")[0]
        lines.append(_("Then sign in at https://%(name)s/") % {"name": name})
    else:
        lines += [
            _("left4me is only reachable from this machine. Connect from your own computer:"),
            "",
            "    ssh -L 8000:127.0.0.1:8000 root@" + _("THIS-MACHINE"),
            "",
            _("Then sign in at http://127.0.0.1:8000/. For a domain and TLS, run `deploy/install --domain NAME`."),
        ]
    lines += [
        _("To install and test the game, run `left4mectl manage try_game`. See docs/real-game.md."),
        _("Firewall: `systemctl enable --now left4me-firewall` opens the game's UDP ports and closes RCON to others."),
    ]
    return "\n".join(lines)
