"""`left4mectl host`: other machines that run servers for this one. What they may reach here, and how it is taken away.

A host gets a role in PostgreSQL, a user in Redis and a token for overlays' content: each its own, each with the least
rights that its worker needs. All three are reached over TLS, with a certificate of an authority made here.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from deploy.ops import application, environment, redis_acl, tls
from deploy.ops.layout import USER, Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn, Step
from deploy.ops.worker_host import database_role, invitation
from left4me.core.processes import commands

GROUP: Final = "left4me_hosts"
_LOCAL: Final = {"", "127.0.0.1", "localhost", "[::1]"}
_SECONDS: Final = 120


@dataclass(frozen=True)
class Place:
    """Where the authority and what it signed lie."""

    directory: Path

    @property
    def authority(self) -> tuple[Path, Path]:
        return self.directory / "ca.key", self.directory / "ca.pem"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"

    @property
    def certificate(self) -> Path:
        return self.directory / "server.pem"

    @property
    def content_settings(self) -> Path:
        return self.directory / "content.env"


def place(layout: Layout) -> Place:
    return Place(layout.settings / "hosts")


def role_of(name: str) -> str:
    return f"left4me_host_{name}"


def user_of(name: str) -> str:
    return f"host-{name}"


def steps(layout: Layout, *, address: str, peers: tuple[str, ...]) -> Iterator[Step]:
    """What lets other machines reach this one at `address`; done once, and kept as it is by later hosts.

    `peers` are the networks that PostgreSQL lets in; a certificate and a password are needed in any case. Raises
    CannotGoOn where the database is not one that hosts can share.
    """
    here = place(layout)
    url = database_url(layout)
    yield Step(
        f"a certificate authority in {here.directory}, and a certificate for {address}",
        lambda: here.authority[1].exists() and tls.serves(here.certificate, address),
        lambda: _certify(here, address),
    )
    cluster = database_role.cluster(port=url.port or invitation.DATABASE_PORT)
    yield Step(
        f"PostgreSQL listens on {address} with TLS, for hosts only",
        lambda: cluster.is_open(here.certificate, here.key, address=address, group=GROUP, peers=peers),
        lambda: cluster.open(here.certificate, here.key, address=address, group=GROUP, peers=peers),
    )
    yield Step(
        f"Redis listens on {address} with TLS, and knows users",
        lambda: redis_acl.is_open(layout, here.certificate, address=address),
        lambda: _open_redis(layout, here, address),
    )
    settings = {"LEFT4ME_CONTENT_ADDRESS": address, "LEFT4ME_CONTENT_PORT": str(invitation.CONTENT_PORT)}
    unit = layout.units / services.CONTENT
    yield Step(
        f"{services.CONTENT} gives overlays on {address}",
        lambda: (
            _says(here.content_settings, settings)
            and unit.exists()
            and services.are_active(layout, [services.CONTENT])
        ),
        lambda: _serve_content(layout, here, settings),
    )


def add(layout: Layout, name: str, *, address: str, public: str) -> invitation.Invitation:
    """Admit a host, or give one that is there new keys (the old ones are void then); what it must be told.

    Raises CommandError, CannotGoOn.
    """
    url = database_url(layout)
    options = ["--address", public] if public else []
    admitted = _manage(layout, "add_host", name, *options)
    told = json.loads(admitted.strip().splitlines()[-1])
    database_password, redis_password = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    database = unquote(url.path.lstrip("/"))
    database_role.make_role(role_of(name), password=database_password, group=GROUP, database=database)
    _manage(layout, "host_rights")
    redis_acl.allow(layout, user=user_of(name), host=name, password=redis_password)
    return invitation.Invitation(
        name=name,
        address=address,
        authority=place(layout).authority[1].read_text(),
        database=database,
        role=role_of(name),
        database_password=database_password,
        redis_user=user_of(name),
        redis_password=redis_password,
        token=told["token"],
        sealing_key=told["sealing_key"],
    )


def remove(layout: Layout, name: str) -> str:
    """Forget a host, and end its access at once; returns what the application said. Raises CommandError."""
    said = _manage(layout, "remove_host", name)
    database_role.drop_role(role_of(name))
    redis_acl.forbid(layout, user=user_of(name))
    return said.strip()


def database_url(layout: Layout) -> SplitResult:
    """Where the database is. Raises CannotGoOn when other machines cannot share it."""
    text = environment.read(layout).get("DATABASE_URL", "")
    url = urlsplit(text)
    if url.scheme not in {"postgres", "postgresql"}:
        raise CannotGoOn(
            "Other hosts need PostgreSQL, and this installation keeps its database in a SQLite file. A new one is "
            "made with `deploy/install --database postgres`; no command moves what is in this one."
        )
    host = url.netloc.rpartition("@")[2].rpartition(":")[0] or url.netloc.rpartition("@")[2]
    if host not in _LOCAL and not host.startswith("%2F"):
        raise CannotGoOn(
            f"The database runs on {host}, which is not for this command to open. docs/second-host.md says what a "
            "host needs there."
        )
    return url


def _certify(here: Place, address: str) -> None:
    here.directory.mkdir(parents=True, exist_ok=True)
    tls.make_authority(*here.authority)
    tls.make_certificate(here.key, here.certificate, address=address, authority=here.authority)
    if os.geteuid() == 0:
        # The application serves content and runs Redis; the authority's key stays with root.
        for path, mode in ((here.directory, 0o750), (here.key, 0o640), (here.certificate, 0o644)):
            shutil.chown(path, "root", USER)
            path.chmod(mode)
        here.authority[1].chmod(0o644)


def _open_redis(layout: Layout, here: Place, address: str) -> None:
    password = redis_acl.own_password(layout) or secrets.token_urlsafe(32)
    certificates = (here.certificate, here.key, here.authority[1])
    redis_acl.open_to(layout, certificates, address=address, own_password=password)
    known = environment.parse(layout.secrets_file.read_text())
    url = urlsplit(known.get("REDIS_URL") or environment.read(layout).get("REDIS_URL", ""))
    socket = url.path or str(layout.redis_socket)
    values = {"REDIS_URL": f"unix://:{quote(password, safe='')}@{socket}"}
    environment.write(
        layout.secrets_file, environment.with_values(layout.secrets_file.read_text(), values), layout=layout
    )
    # One after the other, at once: until they know the password, Redis refuses them.
    services.restart(layout, [services.REDIS])
    services.restart(layout, [services.WORKER, services.BEAT, services.WEB])


def _serve_content(layout: Layout, here: Place, settings: dict[str, str]) -> None:
    environment.write(
        here.content_settings, "".join(f"{name}={value}\n" for name, value in settings.items()), layout=layout
    )
    services.enable(layout, [services.CONTENT])
    services.restart(layout, [services.CONTENT])


def _says(path: Path, values: dict[str, str]) -> bool:
    return path.exists() and values.items() <= environment.parse(path.read_text()).items()


def _manage(layout: Layout, *arguments: str) -> str:
    done: commands.Finished = application.manage(layout, *arguments, timeout=_SECONDS)
    return done.output
