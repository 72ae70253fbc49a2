"""PostgreSQL for worker hosts: opening the server of this machine to them, and their roles."""

from __future__ import annotations

import pwd
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops.database import postgres
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from left4me.core.files import atomic
from left4me.core.processes import commands

_SECONDS: Final = 120
_OURS: Final = re.compile(r"^# left4me hosts begin\n.*?^# left4me hosts end\n", re.MULTILINE | re.DOTALL)

_MAKE_ROLE: Final = r"""
\getenv role L4M_ROLE
\getenv password L4M_PASSWORD
\getenv group L4M_GROUP
\getenv database L4M_DATABASE
SELECT format('CREATE ROLE %I NOLOGIN', :'group')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'group') \gexec
SELECT format('CREATE ROLE %I', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SET password_encryption = 'scram-sha-256';
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 40
    PASSWORD :'password';
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :'role' \g /dev/null
GRANT :"group" TO :"role";
GRANT CONNECT ON DATABASE :"database" TO :"group";
"""
_DROP_ROLE: Final = r"""
\getenv role L4M_ROLE
SELECT format('ALTER ROLE %I NOLOGIN', :'role') WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :'role' \g /dev/null
DROP ROLE IF EXISTS :"role";
"""


_DROP_ALL: Final = r"""
\getenv group L4M_GROUP
SELECT format('DROP ROLE %I', member.rolname)
    FROM pg_auth_members JOIN pg_roles member ON member.oid = pg_auth_members.member
        JOIN pg_roles hosts ON hosts.oid = pg_auth_members.roleid
    WHERE hosts.rolname = :'group' \gexec
DROP ROLE IF EXISTS :"group";
"""


@dataclass(frozen=True)
class Cluster:
    """One of Debian's PostgreSQL clusters."""

    version: str
    name: str

    @property
    def directory(self) -> Path:
        return Path("/etc/postgresql", self.version, self.name)

    @property
    def unit(self) -> str:
        return f"postgresql@{self.version}-{self.name}.service"

    @property
    def settings_file(self) -> Path:
        return self.directory / "conf.d/left4me-hosts.conf"

    @property
    def access_file(self) -> Path:
        return self.directory / "pg_hba.conf"

    @property
    def key(self) -> Path:
        return self.directory / "left4me-hosts.key"

    @property
    def certificate(self) -> Path:
        return self.directory / "left4me-hosts.pem"

    def is_open(self, certificate: Path, key: Path, *, address: str, group: str, peers: tuple[str, ...]) -> bool:
        """Whether `open` was called with these values."""
        return (
            _same(self.certificate, certificate)
            and _same(self.key, key)
            and self.settings_file.exists()
            and self.settings_file.read_text() == self._settings(address)
            and access(group, peers) in self.access_file.read_text()
        )

    def open(self, certificate: Path, key: Path, *, address: str, group: str, peers: tuple[str, ...]) -> None:
        """Listen on `address` too, with this certificate. Members of `group` can connect with TLS and a password."""
        for source, target, mode in ((certificate, self.certificate, 0o644), (key, self.key, 0o600)):
            atomic.write(target, source.read_bytes(), mode=mode, durable=True, owner=_postgres())
        self.settings_file.write_text(self._settings(address))
        others = _OURS.sub("", self.access_file.read_text())
        self._write_access(others.rstrip("\n") + "\n" + access(group, peers))
        self._wait_for_network()
        services.restart([self.unit])
        self._wait()

    def is_closed(self) -> bool:
        """Whether nothing of `open` is left."""
        files = (self.settings_file, self.certificate, self.key, self._drop_in)
        return not any(path.exists() for path in files) and not _OURS.search(self.access_file.read_text())

    def close(self) -> None:
        """Take `open` back: listen as before, and let no member of the group in."""
        for path in (self.settings_file, self.certificate, self.key, self._drop_in):
            path.unlink(missing_ok=True)
        self._write_access(_OURS.sub("", self.access_file.read_text()))
        services.reload()
        services.restart([self.unit])
        self._wait()

    @property
    def _drop_in(self) -> Path:
        return Path("/etc/systemd/system", f"{self.unit}.d/left4me-hosts.conf")

    def _write_access(self, text: str) -> None:
        present = self.access_file.stat()
        owner = (present.st_uid, present.st_gid)
        atomic.write(self.access_file, text, mode=present.st_mode & 0o777, durable=True, owner=owner)

    def _settings(self, address: str) -> str:
        return (
            "# Written by left4mectl host add.\n"
            f"listen_addresses = '{_listening(address)}'\n"
            "ssl = on\n"
            "ssl_min_protocol_version = 'TLSv1.2'\n"
            f"ssl_cert_file = '{self.certificate}'\n"
            f"ssl_key_file = '{self.key}'\n"
            # Without keepalives, the locks of a host that disappeared would be held for hours.
            "tcp_keepalives_idle = 10\n"
            "tcp_keepalives_interval = 5\n"
            "tcp_keepalives_count = 3\n"
            "tcp_user_timeout = 20000\n"
        )

    def _wait_for_network(self) -> None:
        """Start PostgreSQL after the network: it ignores an address that does not exist yet at its start."""
        self._drop_in.parent.mkdir(parents=True, exist_ok=True)
        self._drop_in.write_text("[Unit]\nWants=network-online.target\nAfter=network-online.target\n")
        services.reload()

    def _wait(self) -> None:
        deadline = time.monotonic() + _SECONDS
        argv = ["pg_isready", "--quiet", f"--port={_port(self)}"]
        while commands.run([*postgres.AS_SUPERUSER, *argv], timeout=_SECONDS, check=False, cwd=Path("/")).status != 0:
            if time.monotonic() > deadline:
                raise CannotGoOn(
                    _("PostgreSQL did not start again; see `journalctl -u %(unit)s`") % {"unit": self.unit}
                )
            time.sleep(0.2)


def cluster(*, port: int) -> Cluster:
    """The cluster that listens on this port. Raises CannotGoOn."""
    for line in _clusters():
        if line[2] == str(port):
            return Cluster(line[0], line[1])
    raise CannotGoOn(
        _("No PostgreSQL cluster of this machine listens on port %(port)s; `pg_lsclusters` lists them.")
        % {"port": port}
    )


def clusters() -> list[Cluster]:
    """Every cluster of this machine; none without Debian's PostgreSQL."""
    try:
        return [Cluster(line[0], line[1]) for line in _clusters()]
    except CannotGoOn:
        return []


def access(group: str, peers: tuple[str, ...]) -> str:
    """The lines of pg_hba.conf that let members of `group` in from the networks `peers`."""
    lines = [f"hostssl all +{group} {peer} scram-sha-256" for peer in peers]
    return "\n".join(["# left4me hosts begin", *lines, "# left4me hosts end", ""])


def make_role(role: str, *, password: str, group: str, database: str) -> None:
    """Create a role that can connect and is a member of `group`.

    An existing role gets the new password, and its connections end.
    """
    postgres.psql(_MAKE_ROLE, L4M_ROLE=role, L4M_PASSWORD=password, L4M_GROUP=group, L4M_DATABASE=database)


def drop_role(role: str) -> None:
    """Remove the role and end its connections. A missing role is no error."""
    postgres.psql(_DROP_ROLE, L4M_ROLE=role)


def drop_roles(group: str) -> None:
    """Remove the group of the hosts and the roles in it. Their database must be gone, and with it their rights."""
    postgres.psql(_DROP_ALL, L4M_GROUP=group)


def _postgres() -> tuple[int, int]:
    account = pwd.getpwnam("postgres")
    return account.pw_uid, account.pw_gid


def _clusters() -> list[list[str]]:
    try:
        lines = commands.run(["pg_lsclusters", "--no-header"], timeout=_SECONDS).output.splitlines()
    except commands.CommandMissing as error:
        raise CannotGoOn(
            _("PostgreSQL from Debian is not installed on this machine. Run `apt-get install postgresql`.")
        ) from error
    return [line.split() for line in lines if line.strip()]


def _listening(address: str) -> str:
    # With such an address, hosts come through a tunnel that ends on this machine.
    return "localhost" if address in ("127.0.0.1", "::1", "localhost") else f"localhost, {address}"


def _port(cluster: Cluster) -> str:
    return next(line[2] for line in _clusters() if (line[0], line[1]) == (cluster.version, cluster.name))


def _same(copy: Path, source: Path) -> bool:
    return copy.exists() and source.exists() and copy.read_bytes() == source.read_bytes()
