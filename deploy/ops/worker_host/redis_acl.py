"""Redis for worker hosts: TLS, and one Redis user for each host, limited to the keys of that host."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deploy.ops import environment
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from deploy.ops.worker_host import invitation
from left4me.core.files import atomic
from left4me.core.processes import commands
from left4me.core.redis import keys

_SECONDS: Final = 60
_DROP_IN: Final = "hosts.conf"
_USERS: Final = "users.acl"

# "*" stands for ids of jobs and servers, which are not tied to a host here.
_COMMANDS: Final = (
    *("-@all", "+@read", "+@write", "+@connection", "+@transaction", "+@pubsub", "+@scripting"),
    *("-@dangerous", "-@admin", "-scan", "-randomkey", "-dbsize", "-script|flush", "-script|kill", "-function"),
)


def _keys(host: str) -> list[str]:
    """The keys that a worker of `host` uses."""
    return [
        keys.host_queue(host),
        f"{keys.host_queue(host)}\x06*",  # its queues for other priorities
        *keys.unacknowledged(host).values(),
        f"{keys.KOMBU_BINDINGS}*",
        f"{keys.CACHE}*",
        keys.ended_jobs(host),
        keys.host_answer("*"),
        keys.server_usage("*"),
        *(keys.server_log("*"), keys.server_log_watched("*"), keys.server_log_tailer("*")),
    ]


def _channels(host: str) -> list[str]:
    return [keys.cancel_channel(host), keys.job_channel("*"), keys.server_log_channel("*")]


def rule(user: str, host: str, password: str) -> str:
    """The line of Redis's ACL file for one host."""
    patterns = [*(f"~{key}" for key in _keys(host)), *(f"&{channel}" for channel in _channels(host))]
    return " ".join([f"user {user} on #{_digest(password)} resetkeys resetchannels", *patterns, *_COMMANDS])


def own_password(layout: Layout) -> str:
    """The password of this machine's own services; empty while Redis has none."""
    return unquote(urlsplit(environment.read(layout).get("REDIS_URL", "")).password or "")


def is_open(layout: Layout, certificate: Path, *, address: str) -> bool:
    """Whether Redis is configured to listen on `address` with this certificate."""
    drop_in = _drop_in(layout)
    unit = layout.units / services.REDIS
    if not (unit.exists() and drop_in.exists() and own_password(layout)):
        return False
    copy = _directory(layout) / certificate.name
    if not copy.exists() or copy.read_bytes() != certificate.read_bytes():
        return False
    return drop_in.read_text() == _drop_in_text(layout, unit.read_text(), address)


def open_to(layout: Layout, certificates: Sequence[Path], *, address: str, own_password: str) -> None:
    """Configure Redis to listen on `address`, from its next start on. Raises CannotGoOn."""
    text = _drop_in_text(layout, (layout.units / services.REDIS).read_text(), address)
    for source in certificates:
        _keep(layout, source.name, source.read_text())
    users = _users(layout)
    users["default"] = f"user default on #{_digest(own_password)} ~* &* +@all"
    _write(layout, users)
    _drop_in(layout).parent.mkdir(parents=True, exist_ok=True)
    _drop_in(layout).write_text(text)
    services.reload()


def allow(layout: Layout, *, user: str, host: str, password: str) -> None:
    """Create the user of a host. An existing one gets the new password, and its connections end."""
    users = _users(layout)
    users[user] = rule(user, host, password)
    _write(layout, users)
    _redis_cli(layout, "ACL", "LOAD")


def forbid(layout: Layout, *, user: str) -> None:
    """Remove the user of a host, and end its connections."""
    users = _users(layout)
    if users.pop(user, None) is not None:
        _write(layout, users)
        _redis_cli(layout, "ACL", "LOAD")


def _redis_cli(layout: Layout, *command: str) -> None:
    socket = urlsplit(environment.read(layout)["REDIS_URL"]).path
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "REDISCLI_AUTH": own_password(layout)}
    answer = commands.run(["redis-cli", "-s", socket, *command], timeout=_SECONDS, env=env).output.strip()
    if answer != "OK":
        raise CannotGoOn(f"Redis rejects its list of users: {answer}")


def _directory(layout: Layout) -> Path:
    """Redis cannot read the application's settings, so its certificate and its users are kept with its data."""
    return layout.redis_data / "hosts"


def _users(layout: Layout) -> dict[str, str]:
    path = _directory(layout) / _USERS
    lines = path.read_text().splitlines() if path.exists() else []
    return {line.split()[1]: line for line in lines if line.startswith("user ")}


def _write(layout: Layout, users: dict[str, str]) -> None:
    _keep(layout, _USERS, "".join(f"{line}\n" for line in users.values()))


def _keep(layout: Layout, name: str, text: str) -> None:
    """Write a file that only Redis can read."""
    directory = _directory(layout)
    directory.mkdir(exist_ok=True, mode=0o700)
    owner = layout.redis_data.stat()
    os.chown(directory, owner.st_uid, owner.st_gid)
    atomic.write(directory / name, text, mode=0o600, durable=True, owner=(owner.st_uid, owner.st_gid))


def _drop_in(layout: Layout) -> Path:
    return layout.units / f"{services.REDIS}.d" / _DROP_IN


def _drop_in_text(layout: Layout, unit: str, address: str) -> str:
    """A drop-in that adds options to the unit's command and gives it the network, which it otherwise cannot use."""
    start = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    if start is None:
        raise CannotGoOn(f"{services.REDIS} was not written by deploy/install.")
    directory = Path("/") / _directory(layout).relative_to(layout.root)
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
