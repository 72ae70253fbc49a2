"""`deploy/install`: makes a Debian machine a left4me host. Can be run again, and then does what is missing."""

from __future__ import annotations

import argparse
import fcntl
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.ops import application, environment, plan, releases, uninstall
from deploy.ops.database import postgres
from deploy.ops.layout import Layout
from deploy.ops.machine import packages, preflight, proxy, services, system_files
from deploy.ops.plan import CannotGoOn, Step
from deploy.ops.worker_host import invitation
from left4me.core.processes import commands, process_guard

CHECKOUT: Final = Path(__file__).resolve().parents[2]

_DOMAIN: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_ABOUT_SECRETS: Final = "# Made by deploy/install. Nobody needs to read or change it.\n"
_READY_SECONDS: Final = 120.0
_FAULTS: Final = (CannotGoOn, invitation.JoinFault, releases.ReleaseFault, commands.CommandError, OSError)
Second = Callable[..., int]  # worker_only.run
# Beside the units of the application: what happens at boot and at night.
_ALSO: Final = ("left4me-recover.service", "left4me-backup.timer")


@dataclass(frozen=True)
class Choices:
    """What the operator asked for; None where they said nothing."""

    domain: str | None = None
    tls: str = "auto"
    database: str | None = None
    game: str | None = None


class Installation:
    """The steps of an installation, each by itself, so that a second host can take some of them."""

    def __init__(self, layout: Layout, choices: Choices, *, checkout: Path = CHECKOUT) -> None:
        self.layout = layout
        self.choices = choices
        self.checkout = checkout
        self.present = environment.read(layout)
        self.release = self._release()
        # Once, before the steps write what these look at.
        self.database = self._database()
        self.database_is_ours = self._database_is_ours()

    @property
    def tree(self) -> Path:
        """The release, or before it is built the checkout that it will be made from."""
        built = self.layout.releases / self.release
        return built if releases.is_whole(built) else self.checkout

    @property
    def game(self) -> str:
        return self.choices.game or self.present.get("LEFT4ME_GAME") or "steam"

    def steps(self) -> Iterator[Step]:
        yield self.packages()
        yield self.release_built()
        yield self.laid_out()
        yield self.settings()
        yield self.secrets()
        if self.database == "postgres" and self.database_is_ours:
            yield self.database_there()
        yield self.migrated()
        yield self.current()
        yield self.running()
        if self.choices.domain:
            yield self.proxy()
        yield self.ready()

    def packages(self) -> Step:
        wanted = [*packages.ALWAYS, *packages.REDIS]
        wanted += packages.POSTGRES if self.database == "postgres" else ()
        wanted += packages.STEAM if self.game == "steam" else ()
        wanted += packages.PROXY if self.choices.domain else ()
        missing = packages.missing(wanted)
        return Step(
            "Debian's packages are there",
            is_done=lambda: not missing,
            apply=lambda: packages.install(wanted),
            details=[f"apt-get install {' '.join(missing)}"],
        )

    def release_built(self) -> Step:
        def build() -> None:
            if self.checkout != self.layout.releases / self.release:
                taken = releases.take_over(self.layout, self.checkout)
                if taken != self.release:
                    raise CannotGoOn(f"{self.checkout} has changed while it was installed. Start again.")
            releases.build(self.layout, self.release)

        return Step(
            f"the release {self.release} is built",
            is_done=lambda: releases.is_whole(self.layout.releases / self.release),
            apply=build,
            details=[f"{self.layout.releases / self.release}, with its Python packages; takes a minute"],
        )

    def laid_out(self) -> Step:
        def apply() -> None:
            if system_files.lay_out(self.layout, self.tree):
                self._restart_what_runs()

        pairs = system_files.files(self.layout, self.tree).values()
        return Step(
            "account, directories, units, the rule for polkit and the command left4mectl are there",
            is_done=lambda: system_files.is_laid_out(self.layout, self.tree),
            apply=apply,
            details=[str(target) for target in (*pairs, self.layout.command)],
        )

    def settings(self) -> Step:
        wanted = self._wanted_settings()
        file = self.layout.settings_file

        def apply() -> None:
            text = file.read_text() if file.exists() else (self.tree / "deploy/env.example").read_text()
            environment.write(file, environment.with_values(text, wanted), layout=self.layout)
            self._restart_what_runs()

        return Step(
            f"settings are in {file}",
            is_done=lambda: file.exists() and wanted.items() <= environment.parse(file.read_text()).items(),
            apply=apply,
            details=[f"{name}={value}" for name, value in wanted.items()],
        )

    def secrets(self) -> Step:
        file = self.layout.secrets_file

        def missing() -> list[str]:
            names = ["LEFT4ME_SECRET_KEY", *(["DATABASE_URL"] if self.database == "postgres" else [])]
            return [name for name in names if name not in environment.read(self.layout)]

        def apply() -> None:
            text = file.read_text() if file.exists() else _ABOUT_SECRETS
            values = {}
            if "LEFT4ME_SECRET_KEY" in missing():
                values["LEFT4ME_SECRET_KEY"] = secrets.token_urlsafe(48)
            if "DATABASE_URL" in missing():
                postgres.start()
                values["DATABASE_URL"] = postgres.url(secrets.token_urlsafe(32))
            environment.write(file, environment.with_values(text, values), layout=self.layout)

        return Step(f"secrets are in {file}", is_done=lambda: not missing(), apply=apply, details=missing())

    def database_there(self) -> Step:
        def address() -> str:
            return environment.read(self.layout).get("DATABASE_URL", "")

        def apply() -> None:
            postgres.start()
            postgres.make(postgres.password_of(address()))

        return Step(
            "PostgreSQL has a database left4me",
            is_done=lambda: bool(address()) and postgres.answers(address()),
            apply=apply,
        )

    def migrated(self) -> Step:
        def is_done() -> bool:
            if not releases.is_whole(self.tree):
                return False
            check = application.manage(self.layout, "migrate", "--check", release=self.tree, check=False)
            return check.status == 0

        return Step(
            "the database is at this release",
            is_done=is_done,
            apply=lambda: ignore(application.manage(self.layout, "migrate", "--noinput", "-v0", release=self.tree)),
        )

    def current(self) -> Step:
        def is_done() -> bool:
            return self.layout.current.is_symlink() and releases.running(self.layout) == self.release

        return Step(
            f"{self.layout.current} is {self.release}",
            is_done=is_done,
            apply=lambda: releases.switch(self.layout, self.release),
        )

    def running(self) -> Step:
        always = [*services.CENTRAL, *(unit for unit in _ALSO if unit.endswith(".timer"))]
        enabled = [*services.CENTRAL, *_ALSO]

        def is_done() -> bool:
            return services.are_enabled(self.layout, enabled) and services.are_active(self.layout, always)

        return Step(
            "the application runs, now and after each boot",
            is_done=is_done,
            apply=lambda: services.enable(self.layout, enabled),
            details=[f"systemctl enable --now {' '.join(enabled)}"],
        )

    def proxy(self) -> Step:
        text = proxy.text(self.tree, domain=self.choices.domain or "", tls=self.choices.tls)
        return Step(
            f"Caddy serves https://{self.choices.domain}",
            is_done=lambda: proxy.is_set_up(self.layout, text),
            apply=lambda: proxy.set_up(self.layout, text),
            details=[str(proxy.site(self.layout))],
        )

    def ready(self) -> Step:
        def apply() -> None:
            if why := application.wait_until_ready(self.layout, seconds=_READY_SECONDS):
                raise CannotGoOn(
                    f"Everything is installed, but the application is not ready: {why}. "
                    "`journalctl -u left4me-web -u left4me-worker -u left4me-beat` says more."
                )

        return Step("the application is ready", is_done=lambda: not application.unready(self.layout), apply=apply)

    def _release(self) -> str:
        """What runs already stays: going to another release is `left4mectl upgrade`, with its way back."""
        if self.layout.current.is_symlink():
            return releases.running(self.layout)
        return releases.name_of(self.checkout)

    def _wanted_settings(self) -> dict[str, str]:
        """On a new machine all that it needs; later only what this call asks for."""
        wanted = {}
        if not self.layout.settings_file.exists():
            wanted = {
                "LEFT4ME_ROOT": str(self.layout.data),
                "LEFT4ME_RUNTIME": "systemd",
                "LEFT4ME_GAME": self.game,
                "REDIS_URL": f"unix://{self.layout.redis_socket}",
                "LEFT4ME_LOG_FORMAT": "json",
            }
        elif self.choices.game:
            wanted["LEFT4ME_GAME"] = self.choices.game
        if self.choices.domain:
            wanted["LEFT4ME_ALLOWED_HOSTS"] = f"{self.choices.domain},127.0.0.1,localhost"
            wanted["LEFT4ME_BEHIND_TLS"] = "true"
        return wanted

    def _restart_what_runs(self) -> None:
        """Units and settings are read at the start only. Visitors wait meanwhile, games go on."""
        if services.are_active(self.layout, [services.WEB]):
            services.stop(self.layout)
            services.start(self.layout)

    def _database(self) -> str:
        if not self.layout.secrets_file.exists():
            return self.choices.database or "sqlite"
        is_postgres = self.present.get("DATABASE_URL", "").startswith("postgres")
        return "postgres" if is_postgres else "sqlite"

    def _database_is_ours(self) -> bool:
        """Whether it is the one that we made, and not one that the operator has elsewhere."""
        address = self.present.get("DATABASE_URL", "")
        return not address or postgres.is_ours(address)


def main(arguments: Sequence[str], *, second: Second, layout: Layout | None = None) -> int:
    """Install or uninstall; returns the exit status. `second` installs a host that runs games for a web elsewhere."""
    options = _parser().parse_args(arguments)
    layout = layout or Layout()
    try:
        preflight.refuse_ordinary_users()
        changes = not options.dry_run and (not options.uninstall or layout.program.exists())
        with _alone(layout, changes=changes):
            if options.uninstall:
                return uninstall.run(layout, purge=options.purge, dry_run=options.dry_run)
            choices = Choices(options.domain, options.tls, options.database, options.game)
            if options.worker_only or options.join:
                return _install_second(layout, choices, options, second)
            return _install(layout, choices, dry_run=options.dry_run)
    except _FAULTS as fault:
        sys.stderr.write(f"deploy/install: {fault}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("deploy/install: interrupted; started again, it goes on where it was\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/install",
        description="Install left4me on this machine (Debian 12 or 13, as root). Run again, it does what is missing.",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--domain", type=_domain, metavar="NAME", help="have Caddy serve this name, with TLS")
    parser.add_argument(
        "--tls",
        choices=["auto", "internal"],
        default="auto",
        help="with --domain: a public certificate (auto), or one of Caddy's own authority for a network without one",
    )
    parser.add_argument("--database", choices=["sqlite", "postgres"], help="default: sqlite; cannot be changed later")
    parser.add_argument("--game", choices=["steam", "simulated"], help="default: steam")
    parser.add_argument(
        "--worker-only", action="store_true", help="run servers for a web on another machine; needs --join"
    )
    parser.add_argument(
        "--join", metavar="URL", help="what `left4mectl host add` has printed there; - reads it from standard input"
    )
    parser.add_argument("--uninstall", action="store_true", help="take everything away but data, settings, backups")
    parser.add_argument("--purge", action="store_true", help="with --uninstall: these too")
    return parser


@contextmanager
def _alone(layout: Layout, *, changes: bool) -> Iterator[None]:
    """Beside no other installation, upgrade or restore; what it started ends with it, even when it is killed."""
    if not changes:
        yield
        return
    layout.program.mkdir(parents=True, exist_ok=True)
    with (layout.program / ".left4mectl.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotGoOn("An installation, upgrade or restore is under way. Wait for it to end.") from None
        process_guard.guard_this_process()
        yield


def _domain(text: str) -> str:
    name = text.strip().lower().rstrip(".")
    if not _DOMAIN.fullmatch(name):
        raise argparse.ArgumentTypeError(f"“{text}” is no domain name; write it as in left4me.example.org")
    return name


def _install(layout: Layout, choices: Choices, *, dry_run: bool) -> int:
    game = choices.game or environment.read(layout).get("LEFT4ME_GAME") or "steam"
    preflight.look(layout, with_proxy=choices.domain is not None, game=game)
    installation = Installation(layout, choices)
    if choices.database not in (None, installation.database):
        raise CannotGoOn(
            f"This machine runs on {installation.database}, and moving what is in it is not done here. Leave "
            "--database out, or uninstall with --purge first."
        )
    count = plan.run(installation.steps(), dry_run=dry_run)
    if count == 0:
        sys.stdout.write(f"Nothing to do: {installation.release} is installed and ready.\n")
    elif dry_run:
        sys.stdout.write("Nothing was changed.\n")
    else:
        sys.stdout.write(_what_next(installation))
    return 0


def _install_second(layout: Layout, choices: Choices, options: argparse.Namespace, second: Second) -> int:
    if not (options.worker_only and options.join):
        raise CannotGoOn("--worker-only and --join URL belong together; `left4mectl host add` prints the URL.")
    if choices.domain or choices.database:
        raise CannotGoOn("With --worker-only there is neither a web (--domain) nor a database (--database) here.")
    return second(layout, choices, options.join, dry_run=options.dry_run)


def _what_next(installation: Installation) -> str:
    host = environment.read(installation.layout).get("LEFT4ME_ALLOWED_HOSTS", "").partition(",")[0]
    lines = [f"left4me {installation.release} is installed. Make yourself an admin:", ""]
    lines += ["    left4mectl manage create_user NAME --admin", ""]
    if environment.read(installation.layout).get("LEFT4ME_BEHIND_TLS") == "true":
        lines.append(f"Then sign in at https://{host}/")
    else:
        lines += [
            "It listens on this machine only. From your own computer:",
            "",
            "    ssh -L 8000:127.0.0.1:8000 root@THIS-MACHINE",
            "",
            "Then sign in at http://127.0.0.1:8000/ (`deploy/install --domain NAME` gives it a name and TLS).",
        ]
    lines += ["Firewall: deploy/nftables/left4me.nft opens the game's UDP ports and closes RCON; see docs/install.md."]
    return "\n".join(lines) + "\n"


def ignore(_: object) -> None:
    """For steps whose command's output does not matter."""
