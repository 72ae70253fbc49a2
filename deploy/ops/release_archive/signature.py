"""Signatures of the checksums file, by OpenSSH: `ssh-keygen -Y`, which needs no network and no keyring.

A machine that has /etc/left4me/allowed_signers takes no release that none of them has signed. The file has a line for
each signer, as ALLOWED SIGNERS in ssh-keygen(1) describes: `NAME namespaces="left4me-release" ssh-ed25519 AAAA…`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops.release_archive.contents import BadPackage
from left4me.core.processes import commands

# A signature that the same key made for another purpose is none.
NAMESPACE: Final = "left4me-release"
SUFFIX: Final = ".sig"
_SECONDS: Final = 60.0


def sign(file: Path, key: Path) -> Path:
    """Sign a file with a private key, or with the agent's that belongs to a public one. Raises CommandError."""
    target = file.with_name(file.name + SUFFIX)
    target.unlink(missing_ok=True)
    commands.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, file], timeout=_SECONDS)
    return target


def signer(sums: str, signature: bytes, signers: Path) -> str:
    """Who has signed this text, as `signers` names them. Raises BadPackage unless the signature is good and theirs."""
    with tempfile.TemporaryDirectory(prefix="left4me-signature-") as folder:
        file = Path(folder, "signature")
        file.write_bytes(signature)
        checked: list[str | Path] = ["-s", file, "-f", signers]
        try:
            found = commands.run(["ssh-keygen", "-Y", "find-principals", *checked], timeout=_SECONDS)
            name = found.output.strip().partition("\n")[0].partition(",")[0]
            verify: list[str | Path] = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", name, *checked]
            commands.run(verify, timeout=_SECONDS, stdin=sums)
        except commands.CommandMissing as error:
            raise BadPackage(
                _("%(signers)s exists, but signatures cannot be checked: run `apt-get install openssh-client`.")
                % {"signers": signers}
            ) from error
        except commands.CommandError as error:
            raise BadPackage(
                _(
                    "The checksums are not signed by anybody in %(signers)s (%(error)s). Do not use this archive "
                    "unless you know why."
                )
                % {"signers": signers, "error": str(error).partition("\n")[0]}
            ) from error
    return name
