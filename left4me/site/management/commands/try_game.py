from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from accounts.models import User
from deploy.doctor import application
from left4me.core.net import ports
from left4me.jobs.actions import Refused
from left4me.jobs.models import Job
from servers import actions
from servers.gamehost import a2s, rcon
from servers.hosts import this_host
from servers.models import Blueprint, Host, Server

_NAME = "try-game"
_INSTALL_SECONDS = 7 * 3600.0
_START_SECONDS = 900.0
_STOP_SECONDS = 180.0
_QUERY_SECONDS = 20.0
_RCON_SECONDS = 10.0
_SILENT_HOST_SECONDS = 120.0
_POLL_SECONDS = 0.5
_TOLD_EVERY_SECONDS = 10.0
_SHOWN_LINES = 8
# What the doctor checks for the game; its other checks are no reason not to try.
_CHECKS = ("disk", "overlayfs", "32-bit libraries", "game libraries", "steamcmd")


class StepFailed(Exception):
    """A step failed. The message says why; `cure` says what to do, and `lines` show the end of a log."""

    def __init__(self, message: str, cure: str, lines: list[str] | None = None) -> None:
        super().__init__(message)
        self.cure = cure
        self.lines = lines or []


class Command(BaseCommand):
    help = (
        "Test the game from end to end: install it if it is missing, start a server, query it over "
        "A2S and RCON, and stop it. Exits with status 1 at the first step that fails, with a fix for it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.LEFT4ME_HOST, help="the host to test (default: this host)")
        parser.add_argument("--keep", action="store_true", help="keep the server running so that you can join it")

    def handle(self, *args: Any, host: str, keep: bool, **options: Any) -> None:
        self._keep = keep
        self._server: Server | None = None
        self._blueprint: Blueprint | None = None
        succeeded = False
        try:
            self._try(host)
            succeeded = True
        except StepFailed:
            pass
        finally:
            if not (keep and succeeded):
                self._clean()
        if not succeeded:
            raise SystemExit(1)
        self.stdout.write(self.style.SUCCESS("The game works."))

    def _try(self, name: str) -> None:
        with self._step("machine", cure="Run `manage.py doctor`.") as say:
            say(self._check_machine(name))
        with self._step("account", cure="Create the first admin: manage.py create_user NAME --admin") as say:
            admin = self._admin()
            say(f"the server will belong to {admin}")
        with self._step("host", cure="See `manage.py list_hosts`.") as say:
            host = self._living_host(name)
            say(f"{host.name} is online, runtime: {host.facts.get('runtime', 'unknown')}")
        with self._step("game", cure="Run `manage.py doctor`, then this command again.") as say:
            say(self._install(host, admin))
        with self._step("server", cure="Free a port of the host, or widen its port range.") as say:
            server = self._server = self._make_server(host, admin)
            say(f"created on port {server.port}")
        with self._step("start", cure="Run `manage.py doctor`. The lines above are the game's output.") as say:
            self._finish(_request(server, "start"), within=_START_SECONDS)
            say("RCON answered, the map is loaded")
        with self._step("query", cure=f"Open UDP port {server.port} in the firewall.") as say:
            say(_query(host, server))
        with self._step("RCON", cure="Check the server's log for rejected passwords.") as say:
            say(_ask_status(host, server))
        if self._keep:
            self.stdout.write(f"The server is running: connect {_addresses(host)[0]}:{server.port}")
            return
        with self._step("stop", cure="Press “Force stop” on the server's page.") as say:
            self._finish(_request(server, "stop"), within=_STOP_SECONDS)
            say("the game has stopped")

    @contextlib.contextmanager
    def _step(self, name: str, *, cure: str) -> Iterator[Callable[[str], None]]:
        """Print how a step ended. Whatever it raises becomes StepFailed, with its own cure or this one."""
        try:
            yield lambda message: self.stdout.write(f"{self.style.SUCCESS('ok     ')} {name}: {message}")
        except StepFailed as fault:
            self._report(name, fault)
            raise
        except (Refused, ValidationError, OSError, rcon.RconError, a2s.NoAnswer) as fault:
            words = "; ".join(fault.messages) if isinstance(fault, ValidationError) else str(fault)
            failed = StepFailed(words, cure)
            self._report(name, failed)
            raise failed from fault

    def _report(self, name: str, fault: StepFailed) -> None:
        for line in fault.lines:
            self.stdout.write(f"        | {line}")
        self.stdout.write(f"{self.style.ERROR('FAILED ')} {name}: {fault}")
        self.stdout.write(f"        → {fault.cure}")

    def _check_machine(self, name: str) -> str:
        if name != settings.LEFT4ME_HOST:
            return f"not checked from here. Run `manage.py doctor` on {name}."
        findings = [finding for finding in application.examine() if finding.check in _CHECKS]
        for finding in findings:
            if finding.level == "fault":
                raise StepFailed(f"{finding.check}: {finding.message}", finding.cure)
            if finding.level == "warning":
                self.stdout.write(f"{self.style.WARNING('warning')} {finding.check}: {finding.message}")
                self.stdout.write(f"        → {finding.cure}")
        return f"{len(findings)} checks passed"

    def _admin(self) -> User:
        admin: User | None = User.objects.filter(is_admin=True, is_active=True).order_by("pk").first()
        if admin is None:
            raise StepFailed("there is no admin yet", "Create the first admin: manage.py create_user NAME --admin")
        return admin

    def _living_host(self, name: str) -> Host:
        host = Host.objects.filter(name=name).first()
        if host is None:
            known = ", ".join(Host.objects.values_list("name", flat=True)) or "none"
            raise StepFailed(f"there is no host “{name}”", f"Choose one of these with --host: {known}.")
        if trouble := host.trouble(timezone.now()):
            raise StepFailed(
                f"{name} runs no jobs: {trouble}",
                "Start bin/up in another terminal, or `systemctl start left4me-worker left4me-beat` on that machine.",
            )
        return host

    def _install(self, host: Host, admin: User) -> str:
        if host.game_version:
            return f"version {host.game_version} is installed"
        self._finish(actions.request_on_host(host=host, operation="install", by=admin), within=_INSTALL_SECONDS)
        host.refresh_from_db()
        return f"version {host.game_version} installed"

    def _make_server(self, host: Host, admin: User) -> Server:
        self._clean_up_after_an_earlier_try(admin)
        self._blueprint = actions.create_blueprint(owner=admin, by=admin, name=_NAME, config="sv_lan 0")
        return actions.create_server(
            owner=admin, by=admin, name=_NAME, blueprint=self._blueprint, host=host, port=self._free_port(host)
        )

    def _clean_up_after_an_earlier_try(self, admin: User) -> None:
        self._server = Server.objects.filter(owner=admin, name=_NAME).first()
        self._blueprint = Blueprint.objects.filter(owner=admin, name=_NAME).first()
        self._clean()

    def _free_port(self, host: Host) -> int | None:
        """A port that no program of this machine holds; on another host the start finds out."""
        if host.name != settings.LEFT4ME_HOST:
            return None
        taken = set(host.servers.values_list("port", flat=True))
        return next((port for port in host.ports if port not in taken and ports.is_free(port)), None)

    def _finish(self, job: Job, *, within: float) -> None:
        """Wait for a job and tell how far it is. Raises StepFailed when it fails, or when nobody works on it."""
        deadline = time.monotonic() + within
        told_at, told = time.monotonic(), ""
        while not job.has_ended:
            now = time.monotonic()
            progress = _progress(job)
            if progress != told and now - told_at > _TOLD_EVERY_SECONDS:
                self.stdout.write(f"        {progress}")
                told_at, told = now, progress
            if now > deadline:
                raise StepFailed(
                    f"job {job.pk} took longer than {within / 60:.0f} minutes", "Open its page to see the log."
                )
            _check_is_worked_on(job)
            _pause()
            job.refresh_from_db()
        if job.state != Job.State.SUCCEEDED:
            *what, cure = (job.error or "The job was cancelled.").splitlines()
            if not what:
                what, cure = [cure], f"Run `manage.py doctor`, and read the log of job {job.pk}."
            raise StepFailed(" ".join(what), cure, self._last_lines(job))

    def _last_lines(self, job: Job) -> list[str]:
        """What the game said last if a server's job failed, else what the job's log says last."""
        if self._server is not None and job.host == settings.LEFT4ME_HOST:
            with contextlib.suppress(Exception):
                return [line.text for line in this_host.runtime().tail(self._server.pk, lines=_SHOWN_LINES)]
        return [line.line for line in job.log.order_by("-seq")[:_SHOWN_LINES]][::-1]

    def _clean(self) -> None:
        """Remove what this command made: the server, then its blueprint."""
        if self._server is not None:
            with contextlib.suppress(StepFailed, Refused, Server.DoesNotExist):
                self._finish(_request(self._server, "delete"), within=_STOP_SECONDS)
            self._server = None
        if self._blueprint is not None:
            with contextlib.suppress(ValidationError, Refused):
                actions.delete_blueprint(blueprint=self._blueprint, by=self._blueprint.owner)
            self._blueprint = None


def _request(server: Server, operation: str) -> Job:
    return actions.request(server=server, operation=operation, by=server.owner)


def _query(host: Host, server: Server) -> str:
    fault: a2s.NoAnswer | None = None
    for address in _addresses(host):
        try:
            found = a2s.info(address, server.port, timeout=_QUERY_SECONDS)
        except a2s.NoAnswer as error:
            fault = fault or error
            continue
        return f"{address} answers A2S_INFO: {found.name}, {found.map}, {found.players} of {found.most_players}"
    raise fault or a2s.NoAnswer("the host has no address")


def _addresses(host: Host) -> list[str]:
    """The addresses to ask at. The real game answers no query that comes from loopback."""
    if host.name != settings.LEFT4ME_HOST:
        return [host.address or host.name]
    return [address for address in (_outgoing_address(), "127.0.0.1") if address]


def _ask_status(host: Host, server: Server) -> str:
    if host.name != settings.LEFT4ME_HOST:
        return "answered on its host during the start"
    server.refresh_from_db()
    answer = this_host.ask_game(server, "status", timeout=_RCON_SECONDS)
    facts = [line.strip() for line in answer.splitlines() if line.startswith(("version", "map", "players"))]
    if not facts:
        raise StepFailed(
            "the answer to `status` contains no version and no map", "Report this as a bug, with the answer.", [answer]
        )
    return "; ".join(" ".join(fact.split()) for fact in facts)


def _progress(job: Job) -> str:
    if job.state == Job.State.QUEUED:
        return f"job {job.pk} is queued"
    progress = job.progress or {}
    done, total = progress.get("done"), progress.get("total")
    amount = f" {done * 100 // total} %" if done and total else ""
    return f"{progress.get('phase') or 'in progress'}{amount}"


def _check_is_worked_on(job: Job) -> None:
    host = Host.objects.filter(name=job.host).first()
    silent_since = host.last_seen_at if host else None
    if silent_since is None or (timezone.now() - silent_since).total_seconds() > _SILENT_HOST_SECONDS:
        raise StepFailed(
            f"the worker of {job.host} is offline", "Start it again: bin/up, or systemctl start left4me-worker."
        )


def _outgoing_address() -> str:
    """The address of this machine that packets to other machines carry; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _pause() -> None:
    time.sleep(_POLL_SECONDS)
