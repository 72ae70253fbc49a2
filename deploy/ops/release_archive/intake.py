"""Taking in a release archive from a file or an https address, once everything about it is verified."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from deploy.language import gettext as _
from deploy.ops.layout import Layout
from deploy.ops.progress import Progress
from deploy.ops.release_archive import checksums, contents, download, signature
from deploy.ops.release_archive.contents import BadPackage, Release
from left4me.core.files import atomic

_SUFFIX = ".tar.gz"


def kept(layout: Layout, release: str) -> Path:
    """Where the archive of a release is kept, if it came as one."""
    return layout.archives / f"{release}{_SUFFIX}"


def take(layout: Layout, place: str, *, sha256: str, progress: Progress) -> Release:
    """Verify the archive at `place`, a file or an https address, and keep it; returns its release. Raises BadPackage.

    Its checksum is `sha256` and that in the checksums file beside it; one of the two is enough, unless this machine
    has a list of signers: then the file must be there, and signed by one of them.
    """
    wanted = _checksum(layout, place, sha256.lower(), progress)
    layout.archives.mkdir(parents=True, exist_ok=True, mode=0o755)
    # Named after its content, so that what an earlier run has fetched is continued, and nothing else is.
    part = layout.archives / f".{wanted}.part"
    _bring(place, part, wanted, progress)
    try:
        release = contents.of_archive(part)
    except BadPackage:
        part.unlink()
        raise
    atomic.sync(part)
    atomic.publish(part, kept(layout, release.name), durable=True)
    return release


def take_unpacked(layout: Layout, tree: Path, release: Release) -> None:
    """Keep an archive of an unpacked one, whose files root has just run."""
    layout.archives.mkdir(parents=True, exist_ok=True, mode=0o755)
    part = layout.archives / f".{release.name}.part"
    contents.pack(tree, release, part)
    atomic.sync(part)
    atomic.publish(part, kept(layout, release.name), durable=True)


def prune(layout: Layout) -> None:
    """Remove the archives of releases that are not here any more, and what interrupted downloads left."""
    if not layout.archives.is_dir():
        return
    for path in layout.archives.iterdir():
        if not (layout.releases / path.name.removesuffix(_SUFFIX)).is_dir():
            path.unlink()


def _checksum(layout: Layout, place: str, given: str, progress: Progress) -> str:
    """The checksum that the archive must have, from all that says one. Raises BadPackage."""
    if given and not checksums.SHA256.fullmatch(given):
        raise BadPackage(_("“%(text)s” is no SHA-256 checksum, which has 64 hexadecimal digits.") % {"text": given})
    must_be_signed = layout.signers.exists()
    if given and not must_be_signed:
        return given
    sums = _beside(place, checksums.FILE)
    if sums is None:
        raise BadPackage(
            _("There is no %(sums)s beside %(place)s. Put it there, or give the checksum with --sha256.")
            % {"sums": checksums.FILE, "place": place}
        )
    text = sums.decode("utf-8", "replace")
    if must_be_signed:
        made = _beside(place, checksums.FILE + signature.SUFFIX)
        if made is None:
            raise BadPackage(
                _("%(signers)s asks for a signature, and there is no %(file)s beside %(place)s.")
                % {"signers": layout.signers, "file": checksums.FILE + signature.SUFFIX, "place": place}
            )
        progress.say(_("signed by %(name)s") % {"name": signature.signer(text, made, layout.signers)})
    name = _name(place)
    listed = checksums.listed(text, name)
    if not listed:
        raise BadPackage(_("%(sums)s does not list %(name)s.") % {"sums": checksums.FILE, "name": name})
    if given and given != listed:
        raise BadPackage(
            _("%(sums)s has another checksum for %(name)s than --sha256. Do not use this archive.")
            % {"sums": checksums.FILE, "name": name}
        )
    return listed


def _bring(place: str, part: Path, wanted: str, progress: Progress) -> None:
    """Make `part` the archive. What does not have the checksum is removed. Raises BadPackage."""
    if not _is_address(place):
        shutil.copyfile(place, part)
    elif not (part.exists() and checksums.of(part) == wanted):
        download.to_file(place, part, progress=progress)
    if (found := checksums.of(part)) != wanted:
        part.unlink()
        raise BadPackage(
            _(
                "%(name)s has the checksum %(found)s, and should have %(wanted)s. It is damaged, or not the one that "
                "was published. Do not use it; get it again."
            )
            % {"name": _name(place), "found": found, "wanted": wanted}
        )


def _is_address(place: str) -> bool:
    return "://" in place


def _name(place: str) -> str:
    return unquote(urlsplit(place).path).rpartition("/")[2] if _is_address(place) else Path(place).name


def _beside(place: str, name: str) -> bytes | None:
    """The content of the file `name` beside the archive; None when there is none. Raises BadPackage."""
    if _is_address(place):
        return download.small(urljoin(place, name))
    try:
        return (Path(place).parent / name).read_bytes()
    except FileNotFoundError:
        return None
