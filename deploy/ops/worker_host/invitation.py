"""The second machine's side: one URL that holds all it needs, and the files that come of it."""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from deploy.ops import environment
from deploy.ops.layout import Layout

DATABASE_PORT: Final = 5432
REDIS_PORT: Final = 6380
CONTENT_PORT: Final = 8443

_PREFIX: Final = "left4me://join/"
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class JoinFault(Exception):
    """The join URL cannot be used; the message says why."""


@dataclass(frozen=True)
class Invitation:
    """What the web's machine gives another one: where to find it, how to know it, and secrets that are the host's own
    (but for the sealing key, which all hosts share)."""

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
    """Raises JoinFault for what `left4mectl host add` has not printed, or not all of it."""
    text = "".join(url.split())
    if not text.startswith(_PREFIX):
        raise JoinFault(f"A join URL begins with {_PREFIX}; `left4mectl host add` on the web's machine prints one.")
    body = text.removeprefix(_PREFIX)
    try:
        said = json.loads(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
        values: dict[str, Any] = {field.name: said[field.name] for field in fields(Invitation)}
        for name, value in values.items():
            if not isinstance(value, int if name.endswith("_port") else str):
                raise TypeError(name)
        found = Invitation(**values)
    except (ValueError, TypeError, LookupError) as error:
        raise JoinFault("This join URL is not whole. Copy all of it, without a break.") from error
    if not _HOST_NAME.fullmatch(found.name):
        raise JoinFault("This join URL names no host.")
    return found


def authority_file(layout: Layout) -> Path:
    return layout.settings / "central-ca.pem"


def settings(invitation: Invitation) -> dict[str, str]:
    """What left4me.env says because of the invitation."""
    return {"LEFT4ME_HOST": invitation.name, "LEFT4ME_RUNTIME": "systemd"}


def secret_settings(layout: Layout, invitation: Invitation) -> dict[str, str]:
    """What secrets.env holds. The secret key signs nothing here that anybody else reads, so it is this host's own."""
    authority = f"/{authority_file(layout).relative_to(layout.root)}"
    at = f"[{invitation.address}]" if ":" in invitation.address else invitation.address
    trust = quote(authority, safe="")
    return {
        "LEFT4ME_SECRET_KEY": secrets.token_urlsafe(48),
        "LEFT4ME_SEALING_KEY": invitation.sealing_key,
        "LEFT4ME_WEB_URL": f"https://{at}:{invitation.content_port}",
        "LEFT4ME_WEB_CA": authority,
        "LEFT4ME_HOST_TOKEN": invitation.token,
        "DATABASE_URL": (
            f"postgres://{invitation.role}:{invitation.database_password}@{at}:{invitation.database_port}"
            f"/{invitation.database}?sslmode=verify-full&sslrootcert={trust}"
        ),
        "REDIS_URL": (
            f"rediss://{invitation.redis_user}:{invitation.redis_password}@{at}:{invitation.redis_port}/0"
            f"?ssl_cert_reqs=required&ssl_ca_certs={trust}"
        ),
    }


def has_joined(layout: Layout, invitation: Invitation) -> bool:
    """Whether the files say what this invitation says."""
    said = environment.read(layout)
    wanted = {**settings(invitation), **secret_settings(layout, invitation)}
    wanted.pop("LEFT4ME_SECRET_KEY")
    ca = authority_file(layout)
    return ca.exists() and ca.read_text() == invitation.authority and wanted.items() <= said.items()


def write(layout: Layout, invitation: Invitation) -> None:
    """Let this machine's settings follow the invitation; what else stands in them stays."""
    environment.write(authority_file(layout), invitation.authority, layout=layout)
    for path, values in (
        (layout.settings_file, settings(invitation)),
        (layout.secrets_file, secret_settings(layout, invitation)),
    ):
        text = path.read_text() if path.exists() else ""
        if path == layout.secrets_file and (known := environment.parse(text).get("LEFT4ME_SECRET_KEY")):
            values = {**values, "LEFT4ME_SECRET_KEY": known}
        environment.write(path, environment.with_values(text, values), layout=layout)
