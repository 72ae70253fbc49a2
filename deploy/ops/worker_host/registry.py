"""`left4mectl host`: adding and removing worker hosts on the machine of the web.

A host gets a PostgreSQL role, a Redis user and a token for the content of overlays, each with only the rights that its
worker needs. All three services use TLS, with a certificate of an authority that is kept on this machine.
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

from deploy.language import gettext as _
from deploy.ops import application, environment, tls
from deploy.ops.database import copies
from deploy.ops.layout import USER, Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn, Step
from deploy.ops.worker_host import database_role, invitation, redis_acl

GROUP: Final = "left4me_hosts"
_LOCAL: Final = {"", "127.0.0.1", "localhost", "::1"}
_SECONDS: Final = 120
_LONGEST_ROLE: Final = 63


@dataclass(frozen=True)
class Place:
    """The files of the certificate authority and of this machine's certificate."""

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


def steps(layout: Layout, *, address: str, peers: tuple[str, ...]) -> Iterator[Step]:
    """The steps that open this machine to worker hosts at `address`. They are done once, for the first host.

    `peers` are the networks from which PostgreSQL accepts hosts; each host also needs TLS and a password. Raises
    CannotGoOn when the database cannot be shared.
    """
    here = place(layout)
    url = database_url(layout)
    yield Step(
        _("create a certificate authority in %(directory)s and a certificate for %(address)s")
        % {"directory": here.directory, "address": address},
        lambda: here.authority[1].exists() and tls.serves(here.certificate, address),
        lambda: _certify(here, address),
    )
    cluster = database_role.cluster(port=url.port or invitation.DATABASE_PORT)
    yield Step(
        _("make PostgreSQL listen on %(address)s with TLS, for hosts only") % {"address": address},
        lambda: cluster.is_open(here.certificate, here.key, address=address, group=GROUP, peers=peers),
        lambda: cluster.open(here.certificate, here.key, address=address, group=GROUP, peers=peers),
    )
    yield Step(
        _("make Redis listen on %(address)s with TLS and separate users") % {"address": address},
        lambda: redis_acl.is_open(layout, here.certificate, address=address),
        lambda: _open_redis(layout, here, address),
    )
    settings = {"LEFT4ME_CONTENT_ADDRESS": address, "LEFT4ME_CONTENT_PORT": str(invitation.CONTENT_PORT)}
    unit = layout.units / services.CONTENT
    yield Step(
        _("serve overlays on %(address)s with %(content)s") % {"address": address, "content": services.CONTENT},
        lambda: (
            _contains(here.content_settings, settings) and unit.exists() and services.are_active([services.CONTENT])
        ),
        lambda: _serve_content(layout, here, settings),
    )


def add(layout: Layout, name: str, *, address: str, public: str) -> invitation.Invitation:
    """Add a host and return its invitation. An existing host gets new secrets, and its old ones become invalid.

    Raises CommandError, CannotGoOn.
    """
    if len(role_of(name)) > _LONGEST_ROLE:
        # The database finds the rows of a host by the name of its role, which PostgreSQL would cut off.
        longest = _LONGEST_ROLE - len(role_of(""))
        raise CannotGoOn(_("The name of a host may have %(n)s characters at most.") % {"n": longest})
    url = database_url(layout)
    options = ["--address", public] if public else []
    output = _manage(layout, "add_host", name, *options)
    keys = json.loads(output.strip().splitlines()[-1])
    database_password, redis_password = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    database = unquote(url.path.lstrip("/"))
    database_role.make_role(role_of(name), password=database_password, group=GROUP, database=database)
    _manage(layout, "host_rights")
    redis_acl.allow(layout, host=name, password=redis_password)
    return invitation.Invitation(
        name=name,
        address=address,
        authority=place(layout).authority[1].read_text(),
        database=database,
        role=role_of(name),
        database_password=database_password,
        redis_user=redis_acl.user_of(name),
        redis_password=redis_password,
        token=keys["token"],
        sealing_key=keys["sealing_key"],
    )


def rekey(layout: Layout, name: str) -> invitation.Invitation:
    """Replace all secrets of a host, and return the invitation with the new ones. The old ones end with this call.

    Raises CommandError, CannotGoOn.
    """
    address = redis_acl.address(layout)
    if not address or name not in _manage(layout, "list_hosts", "--worker-hosts").split():
        raise CannotGoOn(
            _("There is no worker host named %(name)s. `left4mectl host list` lists all hosts.") % {"name": name}
        )
    return add(layout, name, address=address, public="")


def remove(layout: Layout, name: str) -> str:
    """Remove a host and end its access at once; returns the application's message. Raises CommandError."""
    message = _manage(layout, "remove_host", name)
    _end_access(layout, name)
    return message.strip()


def remove_lost(layout: Layout, name: str, *, options: tuple[str, ...]) -> str:
    """Remove a host whose machine is lost, or is no longer one's own; returns the application's message.

    Its access ends first, so that it writes nothing while its servers are moved or deleted. Raises CommandError, with
    the access ended.
    """
    _end_access(layout, name)
    return _manage(layout, "remove_host", name, "--gone", *options).strip()


def _end_access(layout: Layout, name: str) -> None:
    database_role.drop_role(role_of(name))
    here, address = place(layout), redis_acl.address(layout)
    # Redis may still read the list of users from the place of an older release.
    if address and not redis_acl.is_open(layout, here.certificate, address=address):
        _open_redis(layout, here, address)
    redis_acl.forbid(layout, host=name)


def database_url(layout: Layout) -> SplitResult:
    """The DATABASE_URL of this machine. Raises CannotGoOn when other machines cannot use that database."""
    text = environment.read(layout).get("DATABASE_URL", "")
    url = urlsplit(text)
    if url.scheme not in {"postgres", "postgresql"}:
        raise CannotGoOn(
            _(
                "Other hosts need PostgreSQL, and the database of this installation is a SQLite file. Run "
                "`left4mectl database move postgres` first; games keep running."
            )
        )
    host = copies.connection_of(text).get("PGHOST", "")
    # A path is the directory of a Unix socket.
    if host not in _LOCAL and not host.startswith("/"):
        raise CannotGoOn(
            _(
                "The database runs on %(host)s, where this command cannot open it. docs/second-host.md lists "
                "what a host needs there."
            )
            % {"host": host}
        )
    return url


def _certify(here: Place, address: str) -> None:
    here.directory.mkdir(parents=True, exist_ok=True)
    tls.make_authority(*here.authority)
    tls.make_certificate(here.key, here.certificate, address=address, authority=here.authority)
    if os.geteuid() == 0:
        # The application serves the content of overlays with this key. The key of the authority stays with root.
        for path, mode in ((here.directory, 0o750), (here.key, 0o640), (here.certificate, 0o644)):
            shutil.chown(path, "root", USER)
            path.chmod(mode)
        here.authority[1].chmod(0o644)


def _open_redis(layout: Layout, here: Place, address: str) -> None:
    password = redis_acl.own_password(layout) or secrets.token_urlsafe(32)
    certificates = (here.certificate, here.key, here.authority[1])
    redis_acl.open_to(layout, certificates, address=address, own_password=password)
    socket = urlsplit(environment.read(layout).get("REDIS_URL", "")).path or str(layout.redis_socket)
    values = {"REDIS_URL": f"unix://:{quote(password, safe='')}@{socket}"}
    environment.write(
        layout.secrets_file, environment.with_values(layout.secrets_file.read_text(), values), layout=layout
    )
    # The services directly after Redis, which refuses them until they know the password.
    services.restart([services.REDIS])
    services.restart([services.WORKER, services.BEAT, services.WEB])


def _serve_content(layout: Layout, here: Place, settings: dict[str, str]) -> None:
    environment.write(
        here.content_settings, "".join(f"{name}={value}\n" for name, value in settings.items()), layout=layout
    )
    services.enable([services.CONTENT])
    services.restart([services.CONTENT])


def _contains(path: Path, values: dict[str, str]) -> bool:
    return path.exists() and values.items() <= environment.parse(path.read_text()).items()


def _manage(layout: Layout, *arguments: str) -> str:
    return application.manage(layout, *arguments, timeout=_SECONDS).output
