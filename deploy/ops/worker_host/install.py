"""`deploy/install --worker-only --join URL`: makes a machine run servers for a web elsewhere.

Nothing but the worker runs here: no web, no beat, no Redis, no database.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from socket import create_connection
from typing import Final

from deploy.ops import application, install, plan
from deploy.ops.layout import Layout
from deploy.ops.machine import packages, preflight, services, system_files
from deploy.ops.plan import CannotGoOn, Step
from deploy.ops.worker_host import invitation as host_invitation
from deploy.ops.worker_host import upgrade
from deploy.ops.worker_host.invitation import Invitation

_SECONDS: Final = 10.0
_ENABLED: Final = (services.WORKER,)


class SecondInstallation(install.Installation):
    """The steps of a second host; those that it shares with the web's own host are inherited."""

    def __init__(self, layout: Layout, choices: install.Choices, invitation: Invitation) -> None:
        super().__init__(layout, choices)
        self.invitation = invitation

    def steps(self) -> Iterator[Step]:
        yield self.packages()
        yield self.release_built()
        yield self.laid_out()
        yield self.settings()
        yield self.joined()
        yield self.known_there()
        yield self.current()
        yield self.running()

    def packages(self) -> Step:
        wanted = [*packages.ALWAYS, *(packages.STEAM if self.game == "steam" else ())]
        missing = packages.missing(wanted)
        return Step(
            "Debian's packages are there",
            is_done=lambda: not missing,
            apply=lambda: packages.install(wanted),
            details=[f"apt-get install {' '.join(missing)}"],
        )

    def laid_out(self) -> Step:
        return Step(
            "account, directories, the worker's unit, the rule for polkit and the command left4mectl are there",
            is_done=lambda: system_files.is_laid_out(self.layout, self.tree, worker_only=True),
            apply=lambda: install.ignore(system_files.lay_out(self.layout, self.tree, worker_only=True)),
            details=[str(path) for path in system_files.files(self.layout, self.tree, worker_only=True).values()],
        )

    def joined(self) -> Step:
        return Step(
            f"what {self.invitation.address} has given to “{self.invitation.name}” is in {self.layout.secrets_file}",
            is_done=self._has_joined,
            apply=lambda: host_invitation.write(self.layout, self.invitation),
        )

    def known_there(self) -> Step:
        """Asked before the worker runs, because an operator looks here and not into a journal."""

        def apply() -> None:
            asked = application.manage(self.layout, "list_hosts", release=self.tree, check=False)
            if asked.status:
                last = asked.output.strip().splitlines()[-1:]
                raise CannotGoOn(
                    f"The database at {self.invitation.address} does not let this host in: {' '.join(last)}\n"
                    "A join URL is good until the next `left4mectl host add` for the same name, or `host remove`."
                )

        return Step(
            "the database lets this host in",
            is_done=lambda: self._has_joined() and services.are_active(self.layout, _ENABLED),
            apply=apply,
        )

    def running(self) -> Step:
        def is_done() -> bool:
            return services.are_enabled(self.layout, _ENABLED) and services.are_active(self.layout, _ENABLED)

        def apply() -> None:
            services.enable(self.layout, _ENABLED)
            # It may run with what it was told before.
            services.restart(self.layout, _ENABLED)
            if why := upgrade.trouble(self.layout):
                raise CannotGoOn(f"Everything is installed, but {why}: journalctl -u {services.WORKER}")

        return Step(
            "the worker runs, now and after each boot",
            is_done=is_done,
            apply=apply,
            details=[f"systemctl enable --now {' '.join(_ENABLED)}"],
        )

    def _has_joined(self) -> bool:
        return host_invitation.has_joined(self.layout, self.invitation)

    def _wanted_settings(self) -> dict[str, str]:
        wanted = {name: text for name, text in super()._wanted_settings().items() if name != "REDIS_URL"}
        return {**wanted, **host_invitation.settings(self.invitation)}


def run(layout: Layout, choices: install.Choices, url: str, *, dry_run: bool) -> int:
    """Returns the exit status. Raises CannotGoOn and what the steps raise."""
    if (layout.units / services.WEB).exists():
        raise CannotGoOn("This machine has a web of its own. Uninstall that first, or leave out --worker-only.")
    invitation = host_invitation.read(sys.stdin.read() if url == "-" else url)
    preflight.look(layout, with_proxy=False, game=choices.game or "steam", with_web=False)
    for what, port in (
        ("PostgreSQL", invitation.database_port),
        ("Redis", invitation.redis_port),
        ("overlays", invitation.content_port),
    ):
        refuse_unreachable(invitation.address, port, what)
    installation = SecondInstallation(layout, choices, invitation)
    count = plan.run(installation.steps(), dry_run=dry_run)
    if dry_run:
        sys.stdout.write("Nothing was changed.\n")
    elif count:
        sys.stdout.write(
            f"This machine runs servers as “{invitation.name}”. Install the game on the page of that host, and open "
            "the game's UDP ports: deploy/nftables/left4me.nft; see docs/second-host.md.\n"
        )
    return 0


def refuse_unreachable(address: str, port: int, what: str) -> None:
    """Raises CannotGoOn when nothing answers there."""
    try:
        with closing(create_connection((address, port), timeout=_SECONDS)):
            return
    except OSError as error:
        raise CannotGoOn(
            f"{address} does not answer on port {port} ({what}): {error}. Is it the address that `left4mectl host "
            "add` was given, and does its firewall let this machine in?"
        ) from error
