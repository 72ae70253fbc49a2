"""Join URLs: what a worker host needs to know of the web, and the settings files made from it."""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from deploy.language import gettext as _
from deploy.ops import application, environment
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn

DATABASE_PORT: Final = 5432
REDIS_PORT: Final = 6380
CONTENT_PORT: Final = 8443

_CONNECT_SECONDS: Final = 10.0
_PREFIX: Final = "left4me://join/"
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class JoinFault(Exception):
    """The join URL cannot be used; the message contains the reason."""


@dataclass(frozen=True)
class Invitation:
    """What the web gives a worker host: its addresses, its certificate authority and the secrets of this host.

    All hosts share the sealing key; the other secrets are the host's own.
    """

    name: str
    address: str
    authority: str  # the certificate of the web's authority, PEM
    database: str  # the name of the database
    role: str
    database_password: str
    redis_user: str
    redis_password: str
    token: str
    sealing_key: str
    database_port: int = DATABASE_PORT
    redis_port: int = REDIS_PORT
    content_port: int = CONTENT_PORT

    def url(self) -> str:
        raw = json.dumps(asdict(self), separators=(",", ":")).encode()
        return _PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read(url: str) -> Invitation:
    """Parse a join URL. Raises JoinFault for anything but a whole URL that `left4mectl host add` printed."""
    text = "".join(url.split())
    if not text.startswith(_PREFIX):
        raise JoinFault(
            _("A join URL begins with %(prefix)s. `left4mectl host add` on the machine of the web prints one.")
            % {"prefix": _PREFIX}
        )
    body = text.removeprefix(_PREFIX)
    try:
        content = json.loads(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
        values: dict[str, Any] = {field.name: content[field.name] for field in fields(Invitation)}
        for name, value in values.items():
            if not isinstance(value, int if name.endswith("_port") else str):
                raise TypeError(name)
        invitation = Invitation(**values)
    except (ValueError, TypeError, LookupError) as error:
        raise JoinFault(_("This join URL is incomplete. Copy the whole URL.")) from error
    # Each value becomes a part of one line of the settings; the certificate becomes a file.
    if not all(str(value).isprintable() for name, value in values.items() if name != "authority"):
        raise JoinFault(_("This join URL contains a line break or another control character. Create a new one."))
    if not _HOST_NAME.fullmatch(invitation.name):
        raise JoinFault(_("This join URL contains no valid host name. Create a new one with `left4mectl host add`."))
    return invitation


def refuse_unreachable(invitation: Invitation) -> None:
    """Raises CannotGoOn unless this machine reaches all services of the web that a worker host uses."""
    ports = {
        "PostgreSQL": invitation.database_port,
        "Redis": invitation.redis_port,
        "overlays": invitation.content_port,
    }
    for service, port in ports.items():
        try:
            socket.create_connection((invitation.address, port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise CannotGoOn(
                _(
                    "%(address)s does not answer on port %(port)s (%(service)s): %(error)s. Check that `left4mectl "
                    "host add` was given the right address, and that the firewall there lets this machine in."
                )
                % {"address": invitation.address, "port": port, "service": service, "error": error}
            ) from error


def refuse_what_is_void(layout: Layout, invitation: Invitation, *, release: Path | None = None) -> None:
    """Raises CannotGoOn unless the database accepts the settings of this machine, which are of the invitation.

    Asked before the worker starts, because the operator reads this output and not yet its journal.
    """
    listing = application.manage(layout, "list_hosts", release=release, check=False)
    if listing.status:
        last_line = " ".join(listing.output.strip().splitlines()[-1:])
        raise CannotGoOn(
            _(
                "The database at %(address)s refuses this host: %(last_line)s\nA join URL is valid until the next "
                "`left4mectl host add` or `host rekey` for the same name, or `host remove`."
            )
            % {"address": invitation.address, "last_line": last_line}
        )


def settings(invitation: Invitation) -> dict[str, str]:
    """The settings for left4me.env."""
    return {"LEFT4ME_HOST": invitation.name, "LEFT4ME_RUNTIME": "systemd"}


def secret_settings(layout: Layout, invitation: Invitation) -> dict[str, str]:
    """The settings for secrets.env. The secret key is new: this host signs nothing that another one reads."""
    authority = f"/{layout.central_authority.relative_to(layout.root)}"
    # IPv6 addresses stand in brackets in a URL.
    host = f"[{invitation.address}]" if ":" in invitation.address else invitation.address
    authority_in_url = quote(authority, safe="")
    return {
        "LEFT4ME_SECRET_KEY": secrets.token_urlsafe(48),
        "LEFT4ME_SEALING_KEY": invitation.sealing_key,
        "LEFT4ME_WEB_URL": f"https://{host}:{invitation.content_port}",
        "LEFT4ME_WEB_CA": authority,
        "LEFT4ME_HOST_TOKEN": invitation.token,
        "DATABASE_URL": (
            f"postgres://{invitation.role}:{invitation.database_password}@{host}:{invitation.database_port}"
            f"/{invitation.database}?sslmode=verify-full&sslrootcert={authority_in_url}"
        ),
        "REDIS_URL": (
            f"rediss://{invitation.redis_user}:{invitation.redis_password}@{host}:{invitation.redis_port}/0"
            f"?ssl_cert_reqs=required&ssl_ca_certs={authority_in_url}"
        ),
    }


def has_joined(layout: Layout, invitation: Invitation) -> bool:
    """Whether the settings of this machine are those of the invitation."""
    present = environment.read(layout)
    expected = {**settings(invitation), **secret_settings(layout, invitation)}
    expected.pop("LEFT4ME_SECRET_KEY")
    ca = layout.central_authority
    return ca.exists() and ca.read_text() == invitation.authority and expected.items() <= present.items()


def has_secrets(layout: Layout) -> bool:
    """Whether this machine has the secrets of an invitation, whichever it was."""
    return layout.central_authority.exists() and "LEFT4ME_HOST_TOKEN" in environment.read(layout)


def write(layout: Layout, invitation: Invitation) -> None:
    """Write the settings of the invitation. Other settings, and an existing secret key, are left unchanged."""
    environment.write(layout.central_authority, invitation.authority, layout=layout)
    for path, values in (
        (layout.settings_file, settings(invitation)),
        (layout.secrets_file, secret_settings(layout, invitation)),
    ):
        text = path.read_text() if path.exists() else ""
        if path == layout.secrets_file and (secret_key := environment.parse(text).get("LEFT4ME_SECRET_KEY")):
            values = {**values, "LEFT4ME_SECRET_KEY": secret_key}
        environment.write(path, environment.with_values(text, values), layout=layout)


def renew(layout: Layout, invitation: Invitation) -> None:
    """Use the new secrets of this worker host. Its games keep running; nothing changes if the web cannot be reached.

    Raises CannotGoOn, CommandError.
    """
    name = environment.read(layout).get("LEFT4ME_HOST", "")
    if name != invitation.name:
        raise CannotGoOn(
            _("This machine is the host “%(name)s”, and the URL is of “%(other)s”.")
            % {"name": name, "other": invitation.name}
        )
    refuse_unreachable(invitation)
    write(layout, invitation)
    # The key that the worker has fetched is older than that of the invitation.
    (layout.data / "host_key").unlink(missing_ok=True)
    refuse_what_is_void(layout, invitation)
    services.restart([services.WORKER])
