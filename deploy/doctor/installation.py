"""`left4mectl doctor`: what `manage.py doctor` sees as the application's user, and what only root sees."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from deploy.doctor.findings import Finding, fault, ok, warning
from deploy.ops import application, backup, environment, releases
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.progress import in_words
from left4me.core.files import room
from left4me.core.processes import commands

_MARKS: Final = {"ok": "ok     ", "warning": "warning", "fault": "FAULT  "}
_OLDEST_BACKUP_SECONDS: Final = 36 * 3600
_CERTIFICATE_DAYS: Final = 10
_SECONDS: Final = 30


def run(layout: Layout, *, as_json: bool, out: IO[str]) -> int:
    """Print every finding; returns 1 when one of them is a fault."""
    findings = examine(layout)
    if as_json:
        out.write(json.dumps([finding.as_json() for finding in findings], indent=2) + "\n")
    else:
        for finding in findings:
            out.write(f"{_MARKS[finding.level]} {finding.check}: {finding.message}\n")
            if finding.cure:
                out.write(f"        → {finding.cure}\n")
    return 1 if any(finding.level == "fault" for finding in findings) else 0


def examine(layout: Layout) -> list[Finding]:
    """Run every check; none stops the others."""
    found: list[Finding] = []
    for check in (_application, _units, _release, _cut_off, _settings, _backups, _proxy, _firewall, _clock):
        try:
            found += check(layout)
        except Exception as error:
            # A check that breaks is itself news; the others may say why.
            name = check.__name__.strip("_")
            found.append(fault(name, f"could not be checked: {error}", "See the other findings first."))
    return found


def _application(layout: Layout) -> Iterable[Finding]:
    finished = application.manage(layout, "doctor", "--json", check=False, timeout=120)
    text = finished.output[finished.output.find("[\n") :]
    try:
        return [Finding(**finding) for finding in json.loads(text)]
    except (ValueError, TypeError):
        tail = finished.output.strip().splitlines()[-1:] or ["it said nothing"]
        return [
            fault("application", f"`manage.py doctor` does not run: {tail[0]}", "Mend what it names, or roll back.")
        ]


def _units(layout: Layout) -> Iterator[Finding]:
    for unit in (services.SOCKET, services.WEB, services.WORKER, services.BEAT, services.REDIS):
        seen = _properties(unit, "LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result")
        if seen.get("LoadState") != "loaded":
            yield fault(unit, "is not installed", "Run deploy/install again; it changes only what is missing.")
        elif seen.get("ActiveState") != "active":
            words = f"is {seen.get('ActiveState')} ({seen.get('Result')})"
            yield fault(unit, words, f"`journalctl -u {unit} -n 50` says why; then `systemctl start {unit}`.")
        elif seen.get("UnitFileState") not in ("enabled", "static", "indirect"):
            yield warning(unit, "runs, but will not after a reboot", f"Run `systemctl enable {unit}`.")
        elif int(seen.get("NRestarts") or 0) > 2:
            words = f"runs, but had to be started again {seen['NRestarts']} times"
            yield warning(unit, words, f"`journalctl -u {unit}` says why.")
        else:
            yield ok(unit, "runs, also after a reboot")


def _release(layout: Layout) -> Iterator[Finding]:
    release = releases.running(layout)
    tree = layout.current.resolve()
    cure = "Run `left4mectl upgrade`, or deploy/install again."
    if not (tree / "RELEASE").is_file():
        yield fault("release", f"{release} is not whole", cure)
        return
    theirs = [path for path in (tree, tree / "manage.py", tree / ".venv/bin") if path.stat().st_uid != 0]
    if theirs:
        words = f"{theirs[0]} does not belong to root: whoever breaks into the web could change the program"
        yield fault("release", words, f"Run `chown -R root:root {layout.program}`.")
    for unit in (services.WEB, services.WORKER, services.BEAT):
        pid = _properties(unit, "MainPID").get("MainPID", "0")
        with contextlib.suppress(OSError):
            if pid != "0" and (runs := Path(f"/proc/{pid}/cwd").readlink()) != tree:
                yield warning("release", f"{unit} still runs {runs.name}", f"Run `systemctl restart {unit}`.")
                return
    yield ok("release", f"{release}, and it is what runs")


def _cut_off(layout: Layout) -> Iterator[Finding]:
    for name in ("upgrade", "restore"):
        if (layout.program / f"{name}.json").exists():
            words = f"one is under way or was cut off: {layout.program}/{name}.json"
            yield fault(name, words, "If none is under way, `left4mectl recover` takes it back.")


def _settings(layout: Layout) -> Iterator[Finding]:
    _, group = application.owner()
    for path in environment.files(layout):
        seen = path.stat()
        if seen.st_uid != 0 or seen.st_mode & 0o037 or (seen.st_mode & 0o040 and seen.st_gid != group):
            cure = f"Run `chown root:left4me {path} && chmod 0640 {path}`."
            yield fault("settings", f"{path} can be read or changed by others than root and left4me", cure)
            return
    yield ok("settings", f"{layout.settings} is readable by root and left4me only")


def _backups(layout: Layout) -> Iterator[Finding]:
    newest = backup.latest(layout)
    if newest is None:
        yield warning("backup", "there is none yet", "Run `left4mectl backup`.")
        return
    seen = newest.stat()
    age = max(0.0, time.time() - seen.st_mtime)
    free = room.free(layout.backups)
    words = f"the last is {age / 3600:.0f} h old, {in_words(seen.st_size)}; {in_words(free)} are free"
    if age > _OLDEST_BACKUP_SECONDS:
        cure = "`systemctl status left4me-backup.timer left4me-backup` says why; `left4mectl backup` makes one."
        yield warning("backup", words, cure)
    elif free < seen.st_size * 1.2:
        yield warning("backup", words + ": too little for the next one", "Free some space, or keep fewer (--keep).")
    else:
        yield ok("backup", words)


def _proxy(layout: Layout) -> Iterator[Finding]:
    values = environment.read(layout)
    if values.get("LEFT4ME_BEHIND_TLS", "").lower() not in ("1", "true", "yes", "on"):
        yield ok("proxy", "none: the web is reached on this machine only")
        return
    name = application.known_host(values)
    cure = "`journalctl -u caddy -n 50` says why; the name must point here, and ports 80 and 443 must be open."
    try:
        days = _days_of_certificate(name)
    except ssl.SSLCertVerificationError as error:
        yield warning("proxy", f"{name}: browsers will not trust the certificate: {error.verify_message}", cure)
    except (OSError, http.client.HTTPException) as error:
        yield fault("proxy", f"https://{name} is not answered on this machine: {error}", cure)
    else:
        if days < _CERTIFICATE_DAYS:
            yield warning("proxy", f"the certificate of {name} ends in {days:.0f} days and is not renewed", cure)
        else:
            yield ok("proxy", f"https://{name} answers, its certificate is good for {days:.0f} days")


def _days_of_certificate(name: str) -> float:
    """Ask this machine's proxy as `name`, whatever the DNS says; raises OSError."""
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
    check, words = "firewall", "the games' RCON ports (TCP) may be open to the world"
    cure = "See docs/security.md: deploy/nftables holds rules that close them and leave the game's UDP open."
    try:
        rules = commands.run(["nft", "list", "ruleset"], timeout=_SECONDS).output
    except commands.CommandError:
        yield warning(check, f"nftables cannot be asked: {words}", cure)
        return
    if "left4me" in rules or "policy drop" in rules:
        yield ok(check, "has rules of its own")
    else:
        yield warning(check, f"no rule of nftables is in force: {words}", cure)


def _clock(layout: Layout) -> Iterator[Finding]:
    del layout
    try:
        synced = commands.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=_SECONDS)
    except commands.CommandError:
        yield warning("time", "whether the clock is kept right is not known", "Run an NTP service.")
        return
    if synced.output.strip() == "yes":
        yield ok("time", "the clock is kept right by NTP")
    else:
        yield warning("time", "no NTP service keeps the clock right", "`apt-get install systemd-timesyncd`.")


def _properties(unit: str, *names: str) -> dict[str, str]:
    argv = ["systemctl", "show", unit, *(f"--property={name}" for name in names)]
    lines = commands.run(argv, timeout=_SECONDS).output.splitlines()
    return dict(line.partition("=")[::2] for line in lines)
