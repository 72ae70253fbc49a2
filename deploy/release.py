"""Builds a release in dist/: an archive of the committed tree, its SBOM and checksums. Called by bin/release.

All of them depend on the commit alone, so whoever has it can build them again and compare. Nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.ops.release_archive import checksums, contents, signature
from left4me.core.processes import commands

_REPOSITORY = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r"\d+\.\d+\.\d+")
# Where the version is written, besides the changelog.
_NAMED_IN = {
    "pyproject.toml": r'^version = "{}"$',
    "left4me/core/version.py": r'^PROJECT_VERSION = "{}"$',
    "deploy/container/Dockerfile": r"^ARG RELEASE={}$",
    "sbom.json": r'^   "version": "{}"$',
}
# bin/lock writes it, and bin/check lock compares it with the lock.
_SBOM = "sbom.json"
_GIT_SECONDS = 120.0


class Refused(Exception):
    """There is nothing to release; the message says what to do first."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bin/release",
        description="Build the source archive, the SBOM and the checksums of a version into dist/. Publishes nothing.",
    )
    parser.add_argument("version", help="the version to release, such as 1.0.0")
    parser.add_argument(
        "--sign",
        metavar="KEY",
        type=Path,
        help="sign the checksums with this SSH key; a public one stands for that in the agent",
    )
    options = parser.parse_args()
    version = options.version
    target = _REPOSITORY / "dist"
    try:
        files = build(_REPOSITORY, version, target, key=options.sign)
        steps = next_steps(_REPOSITORY, version, target, is_signed=bool(options.sign))
    except (Refused, commands.CommandError) as fault:
        sys.stderr.write(f"bin/release: {fault}\n")
        return 1
    built = "\n".join(f"  {path.relative_to(_REPOSITORY)}" for path in files)
    sys.stdout.write(f"Built:\n{built}\nTo sign, tag and publish it:\n{steps}\n")
    return 0


def build(root: Path, version: str, target: Path, *, key: Path | None = None) -> list[Path]:
    """Build the release of the commit that is checked out at `root`, and return the files. Raises Refused.

    With `key`, the checksums are signed. Who has no key builds the same files but for the signature.
    """
    _refuse(root, version)
    if key is not None and not key.is_file():
        raise Refused(f"There is no key {key}. `ssh-keygen -t ed25519 -f {key}` makes one.")
    target.mkdir(exist_ok=True)
    # The checksums are written last: without them an interrupted run left nothing that looks whole.
    sums = target / checksums.FILE
    for old in (sums, sums.with_name(sums.name + signature.SUFFIX)):
        old.unlink(missing_ok=True)
    archive = target / f"left4me-{version}.tar.gz"
    _archive(root, version, archive)
    document = target / f"left4me-{version}.cdx.json"
    shutil.copyfile(root / _SBOM, document)
    _refuse_what_no_machine_takes(archive, version)
    sums.write_text("".join(f"{checksums.of(path)}  {path.name}\n" for path in (archive, document)))
    return [archive, document, sums, *([signature.sign(sums, key.resolve())] if key is not None else [])]


def next_steps(root: Path, version: str, target: Path, *, is_signed: bool) -> str:
    """Return the commands that sign, tag and publish, which a person runs."""
    sign = f"ssh-keygen -Y sign -n {signature.NAMESPACE} -f KEY {target.name}/{checksums.FILE}"
    steps = [] if is_signed else [sign]
    if not _tagged(root, version):
        commit = _git(root, "rev-parse", "HEAD")
        steps.append(f'git tag --sign {tag_of(version)} --message "left4me {version}" {commit}')
    steps.append(f"git push origin HEAD {tag_of(version)}")
    return "\n".join(f"  {step}" for step in steps)


def tag_of(version: str) -> str:
    return f"v{version}"


def _refuse(root: Path, version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise Refused(f"“{version}” is no version. It has three numbers, as in 1.0.0.")
    if changed := _git(root, "status", "--porcelain"):
        names = ", ".join(line[2:].strip() for line in changed.splitlines()[:5])
        raise Refused(f"The tree has changes that are not committed ({names}). Commit or remove them first.")
    if not re.search(rf"^## \[?{re.escape(version)}\]?(?:\s|$)", (root / "CHANGELOG.md").read_text(), re.MULTILINE):
        raise Refused(
            f"CHANGELOG.md has no section “## {version}”. Move the entries of “Unreleased” below it, with the date."
        )
    for path, pattern in _NAMED_IN.items():
        if not re.search(pattern.format(re.escape(version)), (root / path).read_text(), re.MULTILINE):
            raise Refused(f"{path} names another version. Set it to {version} and commit.")
    tagged, head = _tagged(root, version), _git(root, "rev-parse", "HEAD")
    if tagged and tagged != head:
        raise Refused(
            f"The tag {tag_of(version)} is of another commit, {tagged[:12]}. Check it out to build it again, "
            "or choose the next version: a published tag does not move."
        )


def _tagged(root: Path, version: str) -> str:
    """Return the commit of the version's tag; empty when there is none."""
    reference = f"refs/tags/{tag_of(version)}^{{commit}}"
    found = commands.run(
        ["git", "rev-parse", "--quiet", "--verify", reference], cwd=root, timeout=_GIT_SECONDS, check=False
    )
    return found.output.strip() if found.status == 0 else ""


def _archive(root: Path, version: str, target: Path) -> None:
    """Write the committed tree. Its files have the commit's time and belong to root; gzip gets no name and time."""
    with tempfile.TemporaryDirectory(prefix="left4me-release-") as folder:
        tar = Path(folder, "tree.tar")
        # Settings of the person must not change the bytes.
        settings = ["-c", "tar.umask=0022", "-c", "core.autocrlf=false", "-c", "core.attributesFile=/dev/null"]
        _git(root, *settings, "archive", "--format=tar", f"--prefix=left4me-{version}/", f"--output={tar}", "HEAD")
        with (
            tar.open("rb") as source,
            target.open("wb") as opened,
            gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=opened, mtime=0) as packed,
        ):
            shutil.copyfileobj(source, packed)


def _refuse_what_no_machine_takes(archive: Path, version: str) -> None:
    """Raises Refused unless `left4mectl upgrade --from` would take the archive."""
    try:
        told = contents.of_archive(archive).version
    except contents.BadPackage as fault:
        raise Refused(f"{fault} It needs deploy/commit.txt and .gitattributes.") from fault
    if told != version:
        raise Refused(f"The archive says that it is {told}.")


def _git(root: Path, *words: str) -> str:
    return commands.run(["git", *words], cwd=root, timeout=_GIT_SECONDS).output.strip("\n")


if __name__ == "__main__":
    sys.exit(main())
