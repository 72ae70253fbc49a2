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
from deploy.language import gettext as _
from deploy.language import spoken
from deploy.ops import application, backup, environment, releases, site_address
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import flood_rules, proxy, services
from deploy.ops.progress import readable_size
from left4me.core import machine_backups
from left4me.core.files import room
from left4me.core.processes import commands

_CERTIFICATE_DAYS: Final = 10
_SECONDS: Final = 30
# Certificates and their serial numbers, which every connection shows anyway, and public keys.
_PUBLIC: Final = frozenset({".pem", ".crt", ".srl"})
_PUBLIC_NAMES: Final = frozenset({"allowed_signers"})


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
    # Its findings are printed here, so they are in the language of this command.
    options = ("--json", f"--language={spoken()}")
    finished = application.manage(layout, "doctor", *options, check=False, timeout=120)
    text = finished.output[finished.output.find("[\n") :]
    try:
        return [Finding(**finding) for finding in json.loads(text)]
    except (ValueError, TypeError):
        tail = finished.output.strip().splitlines()[-1:] or [_("no output")]
        cure = _("Fix the problem in the message, or run `left4mectl rollback`.")
        return [fault("application", _("`manage.py doctor` failed: %(reason)s") % {"reason": tail[0]}, cure)]


def _units(layout: Layout) -> Iterator[Finding]:
    for unit in services.of_this_machine(layout):
        properties = services.properties(unit, "LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result")
        if properties.get("LoadState") != "loaded":
            yield fault(unit, _("not installed"), _("Run deploy/install again. It only adds what is missing."))
        elif properties.get("ActiveState") != "active":
            message = _("is %(state)s (%(result)s)") % {
                "state": properties.get("ActiveState"),
                "result": properties.get("Result"),
            }
            yield fault(
                unit,
                message,
                _("Run `journalctl -u %(unit)s -n 50` to see why, then `systemctl start %(unit)s`.") % {"unit": unit},
            )
        elif properties.get("UnitFileState") not in ("enabled", "static", "indirect"):
            yield warning(
                unit, _("running, but does not start at boot"), _("Run `systemctl enable %(unit)s`.") % {"unit": unit}
            )
        elif int(properties.get("NRestarts") or 0) > 2:
            message = _("running, but was restarted %(count)s times") % {"count": properties["NRestarts"]}
            yield warning(unit, message, _("Run `journalctl -u %(unit)s` to see why.") % {"unit": unit})
        else:
            yield ok(unit, _("running, starts at boot"))


def _release(layout: Layout) -> Iterator[Finding]:
    release = releases.running(layout)
    tree = layout.current.resolve()
    cure = _("Run `left4mectl upgrade` or deploy/install again.")
    if not (tree / "RELEASE").is_file():
        yield fault("release", _("%(release)s is incomplete") % {"release": release}, cure)
        return
    writable = [path for path in (tree, tree / "manage.py", tree / ".venv/bin") if path.stat().st_uid != 0]
    if writable:
        message = _("%(path)s is not owned by root: an attacker in the web process could change the program") % {
            "path": writable[0]
        }
        yield fault("release", message, _("Run `chown -R root:root %(program)s`.") % {"program": layout.program})
    for unit in (services.WEB, services.WORKER, services.BEAT):
        pid = services.properties(unit, "MainPID").get("MainPID", "0")
        with contextlib.suppress(OSError):
            if pid != "0" and (directory := Path(f"/proc/{pid}/cwd").readlink()) != tree:
                yield warning(
                    "release",
                    _("%(unit)s still runs %(name)s") % {"unit": unit, "name": directory.name},
                    _("Run `systemctl restart %(unit)s`.") % {"unit": unit},
                )
                return
    yield ok("release", _("%(release)s is running") % {"release": release})


def _interrupted(layout: Layout) -> Iterator[Finding]:
    for name in ("upgrade", "restore"):
        if (layout.program / f"{name}.json").exists():
            message = _("in progress or interrupted: %(program)s/%(name)s.json") % {
                "program": layout.program,
                "name": name,
            }
            yield fault(name, message, _("If it is not in progress, run `left4mectl recover` to undo it."))


def _settings(layout: Layout) -> Iterator[Finding]:
    _uid, group = application.owner()
    open_files = [path for path in environment.files(layout) if _is_open(path, group)]
    if not open_files:
        yield ok("settings", _("only root and left4me can read %(settings)s") % {"settings": layout.settings})
        return
    paths = " ".join(map(str, open_files))
    cure = _("Run `chown root:left4me %(paths)s && chmod 0640 %(paths)s`.") % {"paths": paths}
    yield fault(
        "settings", _("users other than root and left4me can read or change %(paths)s") % {"paths": paths}, cure
    )


def _is_open(path: Path, group: int) -> bool:
    """Whether others than root and `group` can change the file, or read it where it is no certificate."""
    status = path.stat()
    if status.st_uid != 0 or status.st_mode & 0o022:
        return True
    if path.suffix in _PUBLIC or path.name in _PUBLIC_NAMES:
        return False
    return bool(status.st_mode & 0o007) or bool(status.st_mode & 0o040 and status.st_gid != group)


def _backups(layout: Layout) -> Iterator[Finding]:
    newest = backup.latest(layout)
    if newest is None:
        yield warning("backup", _("no backup yet"), _("Run `left4mectl backup`."))
        return
    status = newest.stat()
    age = max(0.0, time.time() - status.st_mtime)
    free = room.free(layout.backups)
    message = _("last backup %(age).0f h ago, %(size)s; %(free)s free") % {
        "age": age / 3600,
        "size": readable_size(status.st_size),
        "free": readable_size(free),
    }
    if age > machine_backups.LATE_AFTER.total_seconds():
        cure = _(
            "Run `systemctl status left4me-backup.timer left4me-backup` to see why. `left4mectl backup` "
            "creates a backup now."
        )
        yield warning("backup", message, cure)
    elif free < status.st_size * 1.2:
        yield warning(
            "backup",
            message + _(": too little for the next backup"),
            _("Free some space, or keep fewer backups (--keep)."),
        )
    else:
        yield ok("backup", message)


def _proxy(layout: Layout) -> Iterator[Finding]:
    values = environment.read(layout)
    name = site_address.of(values)
    if name is None:
        yield ok("proxy", _("no proxy: the web is only reachable from this machine"))
        return
    served = proxy.served_domain(layout)
    if served is not None and not site_address.accepts(values, served):
        message = _("Caddy serves https://%(served)s, and the settings are for https://%(name)s") % {
            "served": served,
            "name": name,
        }
        yield fault(
            "proxy", message, _("Run `deploy/install --domain NAME` with the name that this machine should have.")
        )
        return
    if served is not None and proxy.served_secret(layout) != values.get(site_address.SHARED_WITH_PROXY, ""):
        message = _("Caddy's site and the settings have different secrets: sign-in limits count all visitors as one")
        yield warning("proxy", message, _("Run `deploy/install --domain %(served)s`.") % {"served": served})
    cure = _(
        "Run `journalctl -u caddy -n 50` to see why. The domain name must point to this machine, and "
        "ports 80 and 443 must be open."
    )
    if served is None:
        cure = _("Run `deploy/install --domain %(name)s`, which sets up Caddy; or check your own proxy.") % {
            "name": name
        }
    try:
        days = _days_of_certificate(name)
    except ssl.SSLCertVerificationError as error:
        yield warning(
            "proxy",
            _("%(name)s: browsers do not trust the certificate: %(verify_message)s")
            % {"name": name, "verify_message": error.verify_message},
            cure,
        )
    except (OSError, http.client.HTTPException) as error:
        yield fault(
            "proxy",
            _("https://%(name)s does not respond on this machine: %(error)s") % {"name": name, "error": error},
            cure,
        )
    else:
        if days < _CERTIFICATE_DAYS:
            yield warning(
                "proxy",
                _("the certificate of %(name)s expires in %(days).0f days and was not renewed")
                % {"name": name, "days": days},
                cure,
            )
        else:
            yield ok(
                "proxy",
                _("https://%(name)s responds, certificate valid for %(days).0f days") % {"name": name, "days": days},
            )


def _workshop(layout: Layout) -> Iterator[Finding]:
    is_left_to_timer = environment.read(layout).get("LEFT4ME_WORKSHOP_REFRESH_SECONDS", "") == "0"
    if is_left_to_timer and not services.enabled([services.WORKSHOP_TIMER]):
        message = _(
            "LEFT4ME_WORKSHOP_REFRESH_SECONDS is 0 and the timer is disabled: workshop content is not refreshed"
        )
        yield warning(
            "workshop",
            message,
            _("Run `systemctl enable --now %(workshop_timer)s`.") % {"workshop_timer": services.WORKSHOP_TIMER},
        )


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
            raise OSError(_("/health answered %(status)s") % {"status": answer.status})
        certificate = line.getpeercert() or {}
        return (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400


def _firewall(layout: Layout) -> Iterator[Finding]:
    check, message = "firewall", _("the games' RCON ports (TCP) may be open to the internet")
    cure = _("Run `apt-get install nftables && systemctl enable --now %(firewall)s`; see docs/install.md.") % {
        "firewall": services.FIREWALL
    }
    try:
        # Without the addresses that the sets hold, which may be many.
        rules = commands.run(["nft", "--terse", "list", "ruleset"], timeout=_SECONDS).output
    except commands.CommandError:
        yield warning(check, _("can't read the nftables rules: %(message)s") % {"message": message}, cure)
        return
    if "table inet left4me" in rules:
        yield from _flood_rules(layout, rules)
    elif "policy drop" in rules:
        yield ok(check, _("nftables has rules of your own, which drop what they do not name; floods are not limited"))
    else:
        yield warning(check, _("no nftables rules: %(message)s") % {"message": message}, cure)


def _flood_rules(layout: Layout, loaded: str) -> Iterator[Finding]:
    """Whether the loaded rules are those of this release and of the settings, and whether their counters are read."""
    check, rules = "firewall", flood_rules.of(environment.read(layout))
    yield from (
        warning(check, problem, _("Correct it in %(file)s.") % {"file": layout.settings_file})
        for problem in rules.problems
    )
    if flood_rules.digest_in(loaded) != rules.digest:
        message = _("the loaded rules are those of an older release or of other settings")
        yield warning(check, message, _("Run `systemctl reload-or-restart %(unit)s`.") % {"unit": services.FIREWALL})
    elif not services.are_active([services.FIREWALL_COUNTERS]):
        message = _("the rules are loaded, but nobody reads what they drop: pages and metrics do not show it")
        yield warning(check, message, _("Run `systemctl restart %(unit)s`.") % {"unit": services.FIREWALL})
    elif not rules.has_limits:
        message = _("left4me's rules close RCON to others; floods are not limited, as LEFT4ME_FLOOD_LIMITS says")
        yield ok(check, message)
    else:
        yield ok(check, _("left4me's rules are loaded: `nft --terse list table inet left4me` shows them"))


def _time(layout: Layout) -> Iterator[Finding]:
    del layout
    try:
        synced = commands.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=_SECONDS)
    except commands.CommandError:
        yield warning("time", _("unknown whether the clock is synchronised"), _("Enable an NTP service."))
        return
    if synced.output.strip() == "yes":
        yield ok("time", _("synchronised by NTP"))
    else:
        yield warning("time", _("the clock is not synchronised"), _("Run `apt-get install systemd-timesyncd`."))
