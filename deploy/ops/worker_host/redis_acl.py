"""Redis for worker hosts: TLS, and one Redis user for each host, limited to the keys of that host."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deploy.language import gettext as _
from deploy.ops import environment
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from deploy.ops.worker_host import invitation
from left4me.core.files import walk
from left4me.core.processes import commands
from left4me.core.redis import keys

_SECONDS: Final = 60
_DROP_IN: Final = "hosts.conf"
_USERS: Final = "users.acl"

# "*" stands for ids of jobs and servers, which are not tied to a host here.
_COMMANDS: Final = (
    *("-@all", "+@read", "+@write", "+@connection", "+@transaction", "+@pubsub"),
    *("-@dangerous", "-@admin", "-@scripting", "-scan", "-randomkey", "-dbsize"),
    # Celery's locks and bindings of queues are scripts, which may use the keys of the host only.
    *("+evalsha", "+script|load", "+script|exists"),
)
# A line that `rule` made. Only name and password are taken from it: rights are those of this release.
_LINE: Final = re.compile(r"user host-(?P<host>[a-z0-9-]+) on #(?P<digest>[0-9a-f]{64}) ")


def _keys(host: str) -> list[str]:
    """The keys that a worker of `host` uses."""
    return [
        keys.host_queue(host),
        f"{keys.host_queue(host)}\x06*",  # its queues for other priorities
        *keys.unacknowledged(host).values(),
        f"{keys.KOMBU_BINDINGS}*",
        f"{keys.CACHE}{keys.CONSOLE_COMMANDS}*",
        keys.ended_jobs(host),
        keys.host_answer("*"),
        keys.SIGNALS,
        keys.server_usage("*"),
        *(keys.server_log("*"), keys.server_log_watched("*"), keys.server_log_tailer("*")),
    ]


def _channels(host: str) -> list[str]:
    return [keys.cancel_channel(host), keys.job_channel("*"), keys.server_log_channel("*"), keys.SIGNALS_CHANNEL]


def rule(host: str, password: str) -> str:
    """The line of Redis's ACL file for one host."""
    return _rule(host, _digest(password))


def user_of(host: str) -> str:
    return f"host-{host}"


def _rule(host: str, digest: str) -> str:
    patterns = [*(f"~{key}" for key in _keys(host)), *(f"&{channel}" for channel in _channels(host))]
    return " ".join([f"user {user_of(host)} on #{digest} resetkeys resetchannels", *patterns, *_COMMANDS])


def own_password(layout: Layout) -> str:
    """The password of this machine's own services; empty while Redis has none."""
    return unquote(urlsplit(environment.read(layout).get("REDIS_URL", "")).password or "")


def is_open(layout: Layout, certificate: Path, *, address: str) -> bool:
    """Whether Redis is configured to listen on `address` with this certificate."""
    drop_in = _drop_in(layout)
    unit = layout.units / services.REDIS
    if not (unit.exists() and drop_in.exists() and own_password(layout)):
        return False
    copy = layout.redis_settings / certificate.name
    if not copy.exists() or copy.read_bytes() != certificate.read_bytes():
        return False
    return drop_in.read_text() == _drop_in_text(layout, unit.read_text(), address)


def open_to(layout: Layout, certificates: Sequence[Path], *, address: str, own_password: str) -> None:
    """Configure Redis to listen on `address`, from its next start on. Raises CannotGoOn."""
    text = _drop_in_text(layout, (layout.units / services.REDIS).read_text(), address)
    for source in certificates:
        _keep(layout, source.name, source.read_text())
    _write(layout, _digests(layout), own_password=own_password)
    _drop_in(layout).parent.mkdir(parents=True, exist_ok=True)
    _drop_in(layout).write_text(text)
    services.reload()


def address(layout: Layout) -> str:
    """The address that Redis listens on for hosts; empty where no host was added."""
    drop_in = _drop_in(layout)
    found = re.search(r" --bind (\S+)", drop_in.read_text()) if drop_in.exists() else None
    return found[1] if found else ""


def allow(layout: Layout, *, host: str, password: str) -> None:
    """Create the user of a host. An existing one gets the new password, and its connections end."""
    _write(layout, {**_digests(layout), host: _digest(password)}, own_password=own_password(layout))
    _redis_cli(layout, "ACL", "LOAD")


def forbid(layout: Layout, *, host: str) -> None:
    """Remove the user of a host, and end its connections."""
    digests = _digests(layout)
    if digests.pop(host, None) is not None:
        _write(layout, digests, own_password=own_password(layout))
        _redis_cli(layout, "ACL", "LOAD")


def _redis_cli(layout: Layout, *command: str) -> None:
    socket = urlsplit(environment.read(layout)["REDIS_URL"]).path
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "REDISCLI_AUTH": own_password(layout)}
    answer = commands.run(["redis-cli", "-s", socket, *command], timeout=_SECONDS, env=env).output.strip()
    if answer != "OK":
        raise CannotGoOn(_("Redis rejected its user list: %(answer)s") % {"answer": answer})


def _digests(layout: Layout) -> dict[str, str]:
    """The digests of the passwords of all hosts."""
    try:
        text = (layout.redis_settings / _USERS).read_text()
    except FileNotFoundError:
        text = _users_of_older_releases(layout)
    return {found["host"]: found["digest"] for line in text.splitlines() if (found := _LINE.match(line))}


def _users_of_older_releases(layout: Layout) -> str:
    """The list that older releases kept in a directory of Redis, which could have placed links there."""
    try:
        with walk.open_below(layout.redis_data, ("hosts", _USERS)) as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _write(layout: Layout, digests: dict[str, str], *, own_password: str) -> None:
    lines = [f"user default on #{_digest(own_password)} ~* &* +@all", *(_rule(*one) for one in digests.items())]
    _keep(layout, _USERS, "".join(f"{line}\n" for line in lines))


def _keep(layout: Layout, name: str, text: str) -> None:
    """Write a file that Redis can read and only root can change, in a directory of root."""
    environment.write(layout.redis_settings / name, text, layout=layout)


def _drop_in(layout: Layout) -> Path:
    return layout.units / f"{services.REDIS}.d" / _DROP_IN


def _drop_in_text(layout: Layout, unit: str, address: str) -> str:
    """A drop-in that adds options to the unit's command and gives it the network, which it otherwise cannot use."""
    start = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    if start is None:
        raise CannotGoOn(
            _("%(redis)s is not from deploy/install. Remove it and run deploy/install again.")
            % {"redis": services.REDIS}
        )
    directory = Path("/") / layout.redis_settings.relative_to(layout.root)
    options = {
        "bind": address,
        "tls-port": invitation.REDIS_PORT,
        "tls-cert-file": directory / "server.pem",
        "tls-key-file": directory / "server.key",
        "tls-ca-cert-file": directory / "ca.pem",
        "tls-auth-clients": "no",
        "aclfile": directory / _USERS,
        "tcp-keepalive": 10,
    }
    arguments = " ".join(f"--{name} {value}" for name, value in options.items())
    return (
        "# Written by left4mectl host add.\n"
        "[Unit]\nWants=network-online.target\nAfter=network-online.target\n\n"
        "[Service]\n"
        f"ExecStart=\nExecStart={start[1]} {arguments}\n"
        "PrivateNetwork=no\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nIPAddressDeny=\nSocketBindDeny=\n"
    )


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
