"""Checks of an installation: those of `manage.py doctor`, run as the application's user, and those that need root."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Final

from deploy.doctor import findings
from deploy.doctor.findings import Finding, fault, ok, warning
from deploy.ops import application, backup, environment, releases
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services
from deploy.ops.progress import readable_size
from left4me.core.files import room
from left4me.core.processes import commands

_OLDEST_BACKUP_SECONDS: Final = 36 * 3600
_CERTIFICATE_DAYS: Final = 10
_SECONDS: Final = 30


def run(layout: Layout, *, as_json: bool, out: IO[str]) -> int:
    """Print every finding; returns 1 if one of them is a fault."""
    return findings.report(examine(layout), write=out.write, as_json=as_json)


def examine(layout: Layout) -> list[Finding]:
    """Run every check for the role of this machine."""
    checks: list[Callable[[Layout], Iterable[Finding]]]
    checks = [_application, _units, _release, _interrupted, _settings]
    # A worker host has nothing to back up and no web that a proxy could serve.
    if services.role(layout) is Role.WEB:
        checks += [_backups, _proxy]
    checks += [_firewall, _time]
    return findings.examine({check.__name__.strip("_"): partial(check, layout) for check in checks})


def _application(layout: Layout) -> Iterable[Finding]:
    finished = application.manage(layout, "doctor", "--json", check=False, timeout=120)
    text = finished.output[finished.output.find("[\n") :]
    try:
        return [Finding(**finding) for finding in json.loads(text)]
    except (ValueError, TypeError):
        tail = finished.output.strip().splitlines()[-1:] or ["it printed nothing"]
        cure = "Fix what the message names, or go back with `left4mectl rollback`."
        return [fault("application", f"`manage.py doctor` does not run: {tail[0]}", cure)]


def _units(layout: Layout) -> Iterator[Finding]:
    for unit in services.of_this_machine(layout):
        properties = services.properties(unit, "LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result")
        if properties.get("LoadState") != "loaded":
            yield fault(unit, "is not installed", "Run deploy/install again; it changes only what is missing.")
        elif properties.get("ActiveState") != "active":
            message = f"is {properties.get('ActiveState')} ({properties.get('Result')})"
            yield fault(unit, message, f"`journalctl -u {unit} -n 50` shows why; then `systemctl start {unit}`.")
        elif properties.get("UnitFileState") not in ("enabled", "static", "indirect"):
            yield warning(unit, "runs, but does not start at boot", f"Run `systemctl enable {unit}`.")
        elif int(properties.get("NRestarts") or 0) > 2:
            message = f"runs, but was restarted {properties['NRestarts']} times"
            yield warning(unit, message, f"`journalctl -u {unit}` shows why.")
        else:
            yield ok(unit, "runs, also after a reboot")


def _release(layout: Layout) -> Iterator[Finding]:
    release = releases.running(layout)
    tree = layout.current.resolve()
    cure = "Run `left4mectl upgrade`, or deploy/install again."
    if not (tree / "RELEASE").is_file():
        yield fault("release", f"{release} is incomplete", cure)
        return
    writable = [path for path in (tree, tree / "manage.py", tree / ".venv/bin") if path.stat().st_uid != 0]
    if writable:
        message = f"{writable[0]} does not belong to root: an attacker in the web process could change the program"
        yield fault("release", message, f"Run `chown -R root:root {layout.program}`.")
    for unit in (services.WEB, services.WORKER, services.BEAT):
        pid = services.properties(unit, "MainPID").get("MainPID", "0")
        with contextlib.suppress(OSError):
            if pid != "0" and (directory := Path(f"/proc/{pid}/cwd").readlink()) != tree:
                yield warning("release", f"{unit} still runs {directory.name}", f"Run `systemctl restart {unit}`.")
                return
    yield ok("release", f"{release}, and it is what runs")


def _interrupted(layout: Layout) -> Iterator[Finding]:
    for name in ("upgrade", "restore"):
        if (layout.program / f"{name}.json").exists():
            message = f"one is in progress or was interrupted: {layout.program}/{name}.json"
            yield fault(name, message, "If none is in progress, `left4mectl recover` takes it back.")


def _settings(layout: Layout) -> Iterator[Finding]:
    _, group = application.owner()
    for path in environment.files(layout):
        status = path.stat()
        if status.st_uid != 0 or status.st_mode & 0o037 or (status.st_mode & 0o040 and status.st_gid != group):
            cure = f"Run `chown root:left4me {path} && chmod 0640 {path}`."
            yield fault("settings", f"other users than root and left4me can read or change {path}", cure)
            return
    yield ok("settings", f"{layout.settings} is readable by root and left4me only")


def _backups(layout: Layout) -> Iterator[Finding]:
    newest = backup.latest(layout)
    if newest is None:
        yield warning("backup", "there is no backup yet", "Run `left4mectl backup`.")
        return
    status = newest.stat()
    age = max(0.0, time.time() - status.st_mtime)
    free = room.free(layout.backups)
    message = f"the last is {age / 3600:.0f} h old, {readable_size(status.st_size)}; {readable_size(free)} are free"
    if age > _OLDEST_BACKUP_SECONDS:
        cure = "`systemctl status left4me-backup.timer left4me-backup` shows why; `left4mectl backup` makes one."
        yield warning("backup", message, cure)
    elif free < status.st_size * 1.2:
        yield warning("backup", message + ": too little for the next one", "Free some space, or keep fewer (--keep).")
    else:
        yield ok("backup", message)


def _proxy(layout: Layout) -> Iterator[Finding]:
    values = environment.read(layout)
    if values.get("LEFT4ME_BEHIND_TLS", "").lower() not in ("1", "true", "yes", "on"):
        yield ok("proxy", "none: the web can be reached on this machine only")
        return
    name = application.known_host(values)
    cure = "`journalctl -u caddy -n 50` shows why. The name must point here, and ports 80 and 443 must be open."
    try:
        days = _days_of_certificate(name)
    except ssl.SSLCertVerificationError as error:
        yield warning("proxy", f"{name}: browsers do not trust the certificate: {error.verify_message}", cure)
    except (OSError, http.client.HTTPException) as error:
        yield fault("proxy", f"https://{name} does not answer on this machine: {error}", cure)
    else:
        if days < _CERTIFICATE_DAYS:
            yield warning("proxy", f"the certificate of {name} expires in {days:.0f} days and was not renewed", cure)
        else:
            yield ok("proxy", f"https://{name} answers, its certificate is valid for {days:.0f} days")


def _days_of_certificate(name: str) -> float:
    """Days until the certificate of `name` expires, from the proxy of this machine regardless of DNS.

    Raises OSError.
    """
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as line,
    ):
        line.sendall(f"GET /health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(line)
        answer.begin()
        if answer.status != 200:
            raise OSError(f"/health answered {answer.status}")
        certificate = line.getpeercert() or {}
        return (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400


def _firewall(layout: Layout) -> Iterator[Finding]:
    del layout
    check, message = "firewall", "the games' RCON ports (TCP) may be open to the internet"
    cure = "See docs/security.md: the rules in deploy/nftables close them and leave the game's UDP ports open."
    try:
        rules = commands.run(["nft", "list", "ruleset"], timeout=_SECONDS).output
    except commands.CommandError:
        yield warning(check, f"the rules of nftables cannot be read: {message}", cure)
        return
    if "left4me" in rules or "policy drop" in rules:
        yield ok(check, "nftables has rules")
    else:
        yield warning(check, f"nftables has no rules for them: {message}", cure)


def _time(layout: Layout) -> Iterator[Finding]:
    del layout
    try:
        synced = commands.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=_SECONDS)
    except commands.CommandError:
        yield warning("time", "it is unknown whether the clock is synchronised", "Run an NTP service.")
        return
    if synced.output.strip() == "yes":
        yield ok("time", "NTP synchronises the clock")
    else:
        yield warning("time", "no NTP service synchronises the clock", "`apt-get install systemd-timesyncd`.")
