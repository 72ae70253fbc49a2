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
from deploy.ops import application, backup, environment, releases, site_address
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import proxy, services
from deploy.ops.progress import readable_size
from left4me.core import machine_backups
from left4me.core.files import room
from left4me.core.processes import commands

_CERTIFICATE_DAYS: Final = 10
_SECONDS: Final = 30
# Certificates and their serial numbers, which every connection shows anyway.
_PUBLIC: Final = frozenset({".pem", ".crt", ".srl"})


def run(layout: Layout, *, as_json: bool, out: IO[str]) -> int:
    """Print every finding; returns 1 if one of them is a fault."""
    return findings.report(examine(layout), write=out.write, as_json=as_json)


def examine(layout: Layout) -> list[Finding]:
    """Run every check for the role of this machine."""
    checks: list[Callable[[Layout], Iterable[Finding]]]
    checks = [_application, _units, _release, _interrupted, _settings]
    # A worker host has nothing to back up and no web that a proxy could serve.
    if services.role(layout) is Role.WEB:
        checks += [_backups, _proxy, _workshop]
    checks += [_firewall, _time]
    return findings.examine({check.__name__.strip("_"): partial(check, layout) for check in checks})


def _application(layout: Layout) -> Iterable[Finding]:
    finished = application.manage(layout, "doctor", "--json", check=False, timeout=120)
    text = finished.output[finished.output.find("[\n") :]
    try:
        return [Finding(**finding) for finding in json.loads(text)]
    except (ValueError, TypeError):
        tail = finished.output.strip().splitlines()[-1:] or ["no output"]
        cure = "Fix the problem in the message, or run `left4mectl rollback`."
        return [fault("application", f"`manage.py doctor` failed: {tail[0]}", cure)]


def _units(layout: Layout) -> Iterator[Finding]:
    for unit in services.of_this_machine(layout):
        properties = services.properties(unit, "LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result")
        if properties.get("LoadState") != "loaded":
            yield fault(unit, "not installed", "Run deploy/install again. It only adds what is missing.")
        elif properties.get("ActiveState") != "active":
            message = f"is {properties.get('ActiveState')} ({properties.get('Result')})"
            yield fault(unit, message, f"Run `journalctl -u {unit} -n 50` to see why, then `systemctl start {unit}`.")
        elif properties.get("UnitFileState") not in ("enabled", "static", "indirect"):
            yield warning(unit, "running, but does not start at boot", f"Run `systemctl enable {unit}`.")
        elif int(properties.get("NRestarts") or 0) > 2:
            message = f"running, but was restarted {properties['NRestarts']} times"
            yield warning(unit, message, f"Run `journalctl -u {unit}` to see why.")
        else:
            yield ok(unit, "running, starts at boot")


def _release(layout: Layout) -> Iterator[Finding]:
    release = releases.running(layout)
    tree = layout.current.resolve()
    cure = "Run `left4mectl upgrade` or deploy/install again."
    if not (tree / "RELEASE").is_file():
        yield fault("release", f"{release} is incomplete", cure)
        return
    writable = [path for path in (tree, tree / "manage.py", tree / ".venv/bin") if path.stat().st_uid != 0]
    if writable:
        message = f"{writable[0]} is not owned by root: an attacker in the web process could change the program"
        yield fault("release", message, f"Run `chown -R root:root {layout.program}`.")
    for unit in (services.WEB, services.WORKER, services.BEAT):
        pid = services.properties(unit, "MainPID").get("MainPID", "0")
        with contextlib.suppress(OSError):
            if pid != "0" and (directory := Path(f"/proc/{pid}/cwd").readlink()) != tree:
                yield warning("release", f"{unit} still runs {directory.name}", f"Run `systemctl restart {unit}`.")
                return
    yield ok("release", f"{release} is running")


def _interrupted(layout: Layout) -> Iterator[Finding]:
    for name in ("upgrade", "restore"):
        if (layout.program / f"{name}.json").exists():
            message = f"in progress or interrupted: {layout.program}/{name}.json"
            yield fault(name, message, "If it is not in progress, run `left4mectl recover` to undo it.")


def _settings(layout: Layout) -> Iterator[Finding]:
    _, group = application.owner()
    open_files = [path for path in environment.files(layout) if _is_open(path, group)]
    if not open_files:
        yield ok("settings", f"only root and left4me can read {layout.settings}")
        return
    paths = " ".join(map(str, open_files))
    cure = f"Run `chown root:left4me {paths} && chmod 0640 {paths}`."
    yield fault("settings", f"users other than root and left4me can read or change {paths}", cure)


def _is_open(path: Path, group: int) -> bool:
    """Whether others than root and `group` can change the file, or read it where it is no certificate."""
    status = path.stat()
    if status.st_uid != 0 or status.st_mode & 0o022:
        return True
    if path.suffix in _PUBLIC:
        return False
    return bool(status.st_mode & 0o007) or bool(status.st_mode & 0o040 and status.st_gid != group)


def _backups(layout: Layout) -> Iterator[Finding]:
    newest = backup.latest(layout)
    if newest is None:
        yield warning("backup", "no backup yet", "Run `left4mectl backup`.")
        return
    status = newest.stat()
    age = max(0.0, time.time() - status.st_mtime)
    free = room.free(layout.backups)
    message = f"last backup {age / 3600:.0f} h ago, {readable_size(status.st_size)}; {readable_size(free)} free"
    if age > machine_backups.LATE_AFTER.total_seconds():
        cure = (
            "Run `systemctl status left4me-backup.timer left4me-backup` to see why. "
            "`left4mectl backup` creates a backup now."
        )
        yield warning("backup", message, cure)
    elif free < status.st_size * 1.2:
        yield warning(
            "backup", message + ": too little for the next backup", "Free some space, or keep fewer backups (--keep)."
        )
    else:
        yield ok("backup", message)


def _proxy(layout: Layout) -> Iterator[Finding]:
    values = environment.read(layout)
    name = site_address.of(values)
    if name is None:
        yield ok("proxy", "no proxy: the web is only reachable from this machine")
        return
    served = proxy.served_domain(layout)
    if served is not None and not site_address.accepts(values, served):
        message = f"Caddy serves https://{served}, and the settings are for https://{name}"
        yield fault(
            "proxy", message, "Run `deploy/install --domain NAME` with the name that this machine should have."
        )
        return
    if served is not None and proxy.served_secret(layout) != values.get(site_address.SHARED_WITH_PROXY, ""):
        message = "Caddy's site and the settings have different secrets: sign-in limits count all visitors as one"
        yield warning("proxy", message, f"Run `deploy/install --domain {served}`.")
    cure = (
        "Run `journalctl -u caddy -n 50` to see why. The domain name must point to this machine, and ports 80 and "
        "443 must be open."
    )
    if served is None:
        cure = f"Run `deploy/install --domain {name}`, which sets up Caddy; or check your own proxy."
    try:
        days = _days_of_certificate(name)
    except ssl.SSLCertVerificationError as error:
        yield warning("proxy", f"{name}: browsers do not trust the certificate: {error.verify_message}", cure)
    except (OSError, http.client.HTTPException) as error:
        yield fault("proxy", f"https://{name} does not respond on this machine: {error}", cure)
    else:
        if days < _CERTIFICATE_DAYS:
            yield warning("proxy", f"the certificate of {name} expires in {days:.0f} days and was not renewed", cure)
        else:
            yield ok("proxy", f"https://{name} responds, certificate valid for {days:.0f} days")


def _workshop(layout: Layout) -> Iterator[Finding]:
    is_left_to_timer = environment.read(layout).get("LEFT4ME_WORKSHOP_REFRESH_SECONDS", "") == "0"
    if is_left_to_timer and not services.enabled([services.WORKSHOP_TIMER]):
        message = "LEFT4ME_WORKSHOP_REFRESH_SECONDS is 0 and the timer is disabled: workshop content is not refreshed"
        yield warning("workshop", message, f"Run `systemctl enable --now {services.WORKSHOP_TIMER}`.")


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
    cure = f"Run `apt-get install nftables && systemctl enable --now {services.FIREWALL}`; see docs/install.md."
    try:
        rules = commands.run(["nft", "list", "ruleset"], timeout=_SECONDS).output
    except commands.CommandError:
        yield warning(check, f"can't read the nftables rules: {message}", cure)
        return
    if "table inet left4me" in rules:
        yield ok(check, "left4me's rules are loaded: `nft list table inet left4me` shows them")
    elif "policy drop" in rules:
        yield ok(check, "nftables has rules of your own, which drop what they do not name")
    else:
        yield warning(check, f"no nftables rules: {message}", cure)


def _time(layout: Layout) -> Iterator[Finding]:
    del layout
    try:
        synced = commands.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=_SECONDS)
    except commands.CommandError:
        yield warning("time", "unknown whether the clock is synchronised", "Enable an NTP service.")
        return
    if synced.output.strip() == "yes":
        yield ok("time", "synchronised by NTP")
    else:
        yield warning("time", "the clock is not synchronised", "Run `apt-get install systemd-timesyncd`.")
