"""The certificate authority that worker hosts trust, kept on the machine of the web, and its certificates."""

from __future__ import annotations

import ipaddress
import re
import tempfile
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from left4me.core.processes import commands

# Only worker hosts trust this authority, and an operator has to bring them a new one: so it outlives the machine.
_DAYS: Final = 3650
_RENEW_SECONDS: Final = 365 * 86400
_SECONDS: Final = 60
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_AUTHORITY: Final = (
    *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"),
    *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
)


class TlsFault(Exception):
    """A certificate cannot be made; the message contains the reason."""


def alternative_name(address: str) -> str:
    """The subjectAltName of this address. Raises TlsFault for anything but an IP address or a host name."""
    try:
        found = ipaddress.ip_address(address)
        if getattr(found, "scope_id", None) or found.is_unspecified:
            words = _("Other machines cannot use %(address)s. Give an address that is the same for all of them.")
            raise TlsFault(words % {"address": address})
        return f"IP:{found}"
    except ValueError:
        if not _NAME.fullmatch(address):
            raise TlsFault(_("“%(address)s” is not an IP address or a host name.") % {"address": address}) from None
        return f"DNS:{address}"


def make_authority(key: Path, certificate: Path) -> None:
    """Create the authority. An existing one is left unchanged."""
    if key.exists() and certificate.exists():
        return
    _make_key(key)
    subject = ["-subj", "/CN=left4me hosts", "-days", str(_DAYS)]
    _openssl("req", "-x509", "-new", "-key", key, "-sha256", *subject, *_AUTHORITY, "-out", certificate)


def serves(certificate: Path, address: str) -> bool:
    """Whether the certificate is for this address and valid for another year."""
    if not certificate.exists():
        return False
    not_expiring = _openssl("x509", "-in", certificate, "-noout", "-checkend", _RENEW_SECONDS, check=False)
    option = "-checkip" if alternative_name(address).startswith("IP:") else "-checkhost"
    answer = _openssl("x509", "-in", certificate, "-noout", option, address, check=False)
    return not_expiring.status == 0 and "does match" in answer.output


def make_certificate(key: Path, certificate: Path, *, address: str, authority: tuple[Path, Path]) -> None:
    """Create a certificate for `address`, signed by the authority (its key, its certificate)."""
    name = alternative_name(address)
    if not key.exists():
        _make_key(key)
    with tempfile.TemporaryDirectory() as scratch:
        request, extensions = Path(scratch, "request"), Path(scratch, "extensions")
        extensions.write_text(
            f"subjectAltName={name}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        )
        _openssl("req", "-new", "-key", key, "-subj", "/CN=left4me", "-out", request)
        signing: list[str | int | Path] = [
            "-CA",
            authority[1],
            "-CAkey",
            authority[0],
            "-CAcreateserial",
            "-extfile",
            extensions,
        ]
        _openssl("x509", "-req", "-in", request, "-sha256", "-days", _DAYS, *signing, "-out", certificate)


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def _openssl(*arguments: str | int | Path, check: bool = True) -> commands.Finished:
    try:
        return commands.run(["openssl", *map(str, arguments)], timeout=_SECONDS, check=check)
    except commands.CommandMissing as error:
        raise TlsFault(_("openssl is missing. Run `apt-get install openssl`.")) from error
    except commands.CommandError as error:
        raise TlsFault(_("openssl failed: %(error)s") % {"error": error}) from error
