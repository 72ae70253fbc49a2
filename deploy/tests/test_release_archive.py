"""Release archives on a machine: what is taken in, what is refused, and releases that are built from them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest

from deploy.ops import releases, upgrade
from deploy.ops.layout import Layout
from deploy.ops.progress import Progress
from deploy.ops.release_archive import contents, download, intake, signature
from deploy.ops.release_archive.contents import BadPackage
from deploy.tests.releases_on_machines import layout_of_machine, shared_environments  # noqa: F401 -- fixtures

ROOT = Path(__file__).resolve().parents[2]
_MANAGE = """\
import os, pathlib
static = pathlib.Path(os.environ["LEFT4ME_STATIC_ROOT"])
static.mkdir()
(static / "site.css").write_text("body {}")
"""


class Repository:
    """A small project that looks like ours where archives do, and what `bin/release` would publish of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write("manage.py", _MANAGE)
        self.write("requirements.txt", "")
        self.write("bin/run", "#!/bin/sh\n", mode=0o755)
        for name in (".gitattributes", "deploy/commit.txt"):
            self.write(name, (ROOT / name).read_text())
        (path / "bin/again").symlink_to("run")
        self.commit("1.0.0", day=1)

    def git(self, *arguments: str, day: int = 1) -> str:
        moment = f"2026-11-{day:02}T12:00:00+0000"
        env = {**os.environ, "GIT_COMMITTER_DATE": moment, "GIT_AUTHOR_DATE": moment}
        argv = ["git", "-c", "user.name=anna", "-c", "user.email=anna@localhost", "-C", str(self.path), *arguments]
        return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)
        (self.path / name).chmod(mode)

    def commit(self, version: str, *, day: int) -> str:
        """Commit this version on a day; returns the name of its release."""
        self.write("left4me/core/version.py", f'PROJECT_VERSION = "{version}"\n')
        self.write("CHANGELOG.md", f"# Changelog\n\n## {version}\n\n- Entry of {version}.\n")
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", version, day=day)
        return releases.name_of(self.path)

    def publish(self, folder: Path, version: str) -> Path:
        """Archive what is committed, with its checksum beside it."""
        folder.mkdir(exist_ok=True)
        archive = folder / f"left4me-{version}.tar.gz"
        self.git("archive", f"--prefix=left4me-{version}/", f"--output={archive}", "HEAD")
        write_sums(archive)
        return archive


def write_sums(archive: Path) -> str:
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    (archive.parent / "SHA256SUMS").write_text(f"{found}  {archive.name}\n")
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def archive(repository: Repository, tmp_path: Path) -> Path:
    return repository.publish(tmp_path / "published", "1.0.0")


def take(layout: Layout, place: Path | str, sha256: str = "") -> str:
    return intake.take(layout, str(place), sha256=sha256, progress=Progress(StringIO())).name


def test_an_archive_is_the_release_that_git_would_make(repository: Repository, archive: Path, layout: Layout):
    name = take(layout, archive)
    assert name == releases.name_of(repository.path)
    assert releases.version(layout, name) == "1.0.0"
    tree = releases.build(layout, name)
    assert (tree / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (tree / "bin/again").readlink() == Path("run")
    assert (tree / "RELEASE").read_text() == f"{name}\n"
    assert not (layout.source).exists()
    by_git = Layout(layout.root.with_name("other"))
    by_git.program.mkdir(parents=True)
    by_git.venvs.symlink_to(layout.venvs.resolve())
    other = releases.build(by_git, releases.take_over(by_git, repository.path))
    assert files_of(other) == files_of(tree)


def files_of(tree: Path) -> dict[str, bytes]:
    paths = [path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(tree)): path.read_bytes() for path in paths}


def test_an_unpacked_archive_is_installed_and_built_again_after_its_folder_is_gone(
    archive: Path, layout: Layout, tmp_path: Path
):
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    folder = tmp_path / "left4me-1.0.0"
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/x.pyc").touch()
    name = releases.take_over(layout, folder)
    assert name == releases.name_of(folder) == take(layout, archive)
    tree = releases.build(layout, name)
    before = files_of(tree)
    assert "__pycache__/x.pyc" not in contents_of(intake.kept(layout, name))
    (tree / "RELEASE").unlink()
    subprocess.run(["rm", "-r", folder], check=True)
    assert files_of(releases.build(layout, name)) == before


def test_of_an_unpacked_archive_root_keeps_what_may_be_run_and_no_other_rights(
    archive: Path, layout: Layout, tmp_path: Path
):
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    folder = tmp_path / "left4me-1.0.0"
    (folder / "bin/run").chmod(0o777)
    (folder / "CHANGELOG.md").chmod(0o600)
    name = releases.take_over(layout, folder)
    with tarfile.open(intake.kept(layout, name)) as tar:
        kept = {member.name.partition("/")[2]: (member.mode, member.uid, member.uname) for member in tar}
    assert kept["bin/run"] == (0o755, 0, "root")
    assert kept["CHANGELOG.md"] == (0o644, 0, "root")


def contents_of(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_a_folder_that_is_neither_is_refused(tmp_path: Path, layout: Layout):
    with pytest.raises(releases.ReleaseFault, match="neither a git checkout nor an unpacked release archive"):
        releases.take_over(layout, tmp_path)


def test_an_archive_that_was_taken_and_its_name_are_on_the_disk(archive: Path, layout: Layout, monkeypatch):
    synced: set[int] = set()
    sync = os.fsync

    def noted(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        sync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    kept = intake.kept(layout, take(layout, archive))
    assert {kept.stat().st_ino, kept.parent.stat().st_ino} <= synced


def test_a_checksum_may_be_given_instead_of_the_file_and_both_must_agree(archive: Path, layout: Layout):
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert take(layout, archive, right.upper())
    (archive.parent / "SHA256SUMS").unlink()
    assert take(layout, archive, right)
    with pytest.raises(BadPackage, match=r"no SHA256SUMS beside .* --sha256"):
        take(layout, archive)
    with pytest.raises(BadPackage, match=r"has the checksum .*Do not use it"):
        take(layout, archive, "0" * 64)
    with pytest.raises(BadPackage, match="64 hexadecimal digits"):
        take(layout, archive, "abc")


def test_an_archive_that_was_changed_is_refused_and_nothing_of_it_stays(archive: Path, layout: Layout):
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(BadPackage, match="damaged, or not the one that was published"):
        take(layout, archive)
    assert list(layout.archives.iterdir()) == []


def test_an_archive_that_is_not_listed_is_refused(archive: Path, layout: Layout):
    with pytest.raises(BadPackage, match=r"does not list other\.tar\.gz"):
        take(layout, archive.rename(archive.with_name("other.tar.gz")))


def changed(archive: Path, *members: tarfile.TarInfo, drop: str = "") -> None:
    """Write the archive anew with further members, and its checksum."""
    with tarfile.open(archive) as tar:
        old = [(member, tar.extractfile(member)) for member in tar if not drop or not member.name.endswith(drop)]
        texts = [(member, source.read() if source else b"") for member, source in old]
        comment = tar.pax_headers["comment"]
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": comment}) as tar:
        for member, text in texts:
            tar.addfile(member, io.BytesIO(text) if member.isfile() else None)
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isfile() else None)
    write_sums(archive)


def member(name: str, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "unexpected",
    [
        member("left4me-1.0.0/../../etc/passwd", size=1),
        member("/etc/passwd", size=1),
        member("left4me-2.0.0/x", size=1),
        member("left4me-1.0.0/manage.py", size=1),
        member("left4me-1.0.0/bin/again/x", size=1),
        member("left4me-1.0.0/link", type=tarfile.SYMTYPE, linkname="/etc"),
        member("left4me-1.0.0/link", type=tarfile.SYMTYPE, linkname="../.."),
        member("left4me-1.0.0/link", type=tarfile.LNKTYPE, linkname="left4me-1.0.0/manage.py"),
        member("left4me-1.0.0/null", type=tarfile.CHRTYPE),
        member("left4me-1.0.0/root", size=1, mode=0o4755),
    ],
    ids=lambda info: f"{info.name} {info.linkname} {info.mode:o}".strip(),
)
def test_what_no_release_contains_is_refused(unexpected: tarfile.TarInfo, archive: Path, layout: Layout):
    changed(archive, unexpected)
    with pytest.raises(BadPackage, match="which no release of left4me contains"):
        take(layout, archive)
    assert list(layout.archives.iterdir()) == []


def test_an_archive_that_does_not_say_what_it_is_is_refused(archive: Path, layout: Layout):
    changed(archive, drop="commit.txt")
    with pytest.raises(BadPackage, match="no release archive of left4me"):
        take(layout, archive)
    archive.write_bytes(gzip.compress(b"something else"))
    write_sums(archive)
    with pytest.raises(BadPackage, match="cannot be read as an archive"):
        take(layout, archive)
    archive.write_bytes(archive.read_bytes()[:-20])
    write_sums(archive)
    with pytest.raises(BadPackage, match="cannot be read as an archive"):
        take(layout, archive)


@pytest.fixture
def sign(tmp_path: Path, layout: Layout) -> Callable[[Path, str], None]:
    """Sign the checksums beside an archive as anna, whom the machine knows, or as someone else."""
    for name in ("anna", "mallory"):
        key = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
    public = (tmp_path / "anna.pub").read_text()
    layout.signers.write_text(f'anna@localhost namespaces="left4me-release" {public}')
    return lambda archive, name: signature.sign(archive.parent / "SHA256SUMS", tmp_path / name) and None


@pytest.mark.signatures
def test_with_a_list_of_signers_only_what_one_of_them_signed_is_taken(archive: Path, layout: Layout, sign):
    given = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(BadPackage, match=r"no SHA256SUMS\.sig beside"):
        take(layout, archive, given)
    sign(archive, "mallory")
    with pytest.raises(BadPackage, match="not signed by anybody"):
        take(layout, archive)
    sign(archive, "anna")
    assert take(layout, archive) == take(layout, archive, given)
    with pytest.raises(BadPackage, match=r"another checksum .* than --sha256"):
        take(layout, archive, "0" * 64)
    archive.write_bytes(archive.read_bytes() + b"\0")
    write_sums(archive)
    with pytest.raises(BadPackage, match="not signed by anybody"):
        take(layout, archive)


@pytest.mark.signatures
def test_a_signature_for_another_purpose_is_none(archive: Path, layout: Layout, sign, tmp_path: Path):
    sums = archive.parent / "SHA256SUMS"
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(tmp_path / "anna"), str(sums)]
    subprocess.run(argv, check=True, capture_output=True)
    with pytest.raises(BadPackage, match="not signed by anybody"):
        take(layout, archive)


class Publisher(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; ends the first answers with an archive early, and knows ranges."""

    early: list[int] = []
    asked: list[str] = []

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/left4me-1.0.0.tar.gz")
            self.end_headers()
            return
        if not path.is_file():
            self.send_error(404)
            return
        content, wanted = path.read_bytes(), self.headers.get("Range") or ""
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        is_cut = path.suffix == ".gz" and self.early
        self.wfile.write(content[start : self.early.pop(0) if is_cut else None])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The archive's folder on a web server, without TLS."""
    refuse = download.refuse_other_schemes
    monkeypatch.setattr(download, "refuse_other_schemes", lambda a: None if a.startswith("http:") else refuse(a))
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Publisher, "early", [])
    monkeypatch.setattr(Publisher, "asked", [])
    handler = functools.partial(Publisher, directory=str(archive.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
    server.shutdown()
    server.server_close()


def test_a_download_that_breaks_off_is_resumed_in_the_same_run(address: str, layout: Layout, archive: Path):
    Publisher.early = [100, 200]
    name = take(layout, address)
    assert intake.kept(layout, name).read_bytes() == archive.read_bytes()
    assert Publisher.asked == ["", "", "bytes=100-", "bytes=200-"]


def test_a_download_that_was_given_up_is_resumed_by_the_next_run(address: str, layout: Layout):
    Publisher.early = [100, 200, 300]
    with pytest.raises(BadPackage, match=r"cannot be fetched.*300 bytes are here: run the same command again"):
        take(layout, address)
    take(layout, address)
    assert Publisher.asked[-1] == "bytes=300-"


def test_what_was_fetched_whole_and_what_is_of_another_file_is_not_continued(address: str, layout: Layout, archive):
    layout.archives.mkdir()
    part = layout.archives / f".{hashlib.sha256(archive.read_bytes()).hexdigest()}.part"
    part.write_bytes(archive.read_bytes() + b"more")
    take(layout, address)
    part.write_bytes(archive.read_bytes())
    Publisher.asked.clear()
    take(layout, address)
    assert Publisher.asked == [""], "the checksums only"


def test_what_is_not_there_and_what_is_not_https_is_refused(address: str, layout: Layout, archive: Path):
    with pytest.raises(BadPackage, match="no SHA256SUMS beside"):
        take(layout, address.replace(archive.name, "nowhere/x.tar.gz"))
    with pytest.raises(BadPackage, match="cannot be fetched: Not Found"):
        take(layout, address.replace(archive.name, "x.tar.gz"), "0" * 64)
    with pytest.raises(BadPackage, match="no https address"):
        take(layout, address.replace(archive.name, "moved/x.tar.gz"), "0" * 64)
    with pytest.raises(BadPackage, match="no https address"):
        take(layout, "ftp://127.0.0.1/x.tar.gz", "0" * 64)


def running(layout: Layout, name: str) -> str:
    releases.build(layout, name)
    releases.switch(layout, name)
    return name


def obtain(layout: Layout, **wanted: object) -> str:
    return upgrade._obtain(layout, upgrade.Wanted(**wanted), Progress(StringIO()))  # type: ignore[arg-type]


def test_a_machine_goes_from_git_to_an_archive_and_back(repository: Repository, layout: Layout, tmp_path: Path):
    first = running(layout, releases.take_over(layout, repository.path))
    second = repository.commit("1.1.0", day=2)
    published = repository.publish(tmp_path / "published", "1.1.0")
    assert obtain(layout, archive=str(published)) == second
    assert releases.news(layout, first, second) == ["## 1.1.0", "- Entry of 1.1.0."]
    running(layout, second)
    third = repository.commit("1.2.0", day=3)
    assert obtain(layout) == third
    running(layout, third)
    releases.prune(layout, previous=second)
    assert [path.name for path in layout.archives.iterdir()] == [f"{second}.tar.gz"]
    releases.prune(layout, previous=first)
    assert releases.running(layout) == third


def test_a_machine_that_follows_no_repository_says_what_to_do_and_may_begin_to(
    repository: Repository, archive: Path, layout: Layout
):
    first = running(layout, take(layout, archive))
    assert releases.follows(layout) == ""
    with pytest.raises(releases.ReleaseFault, match=r"--from FILE\|URL.*--repository URL"):
        obtain(layout)
    with pytest.raises(releases.ReleaseFault, match="cannot be followed"):
        obtain(layout, repository=str(archive.parent))
    assert releases.follows(layout) == ""
    second = repository.commit("1.1.0", day=2)
    assert obtain(layout, repository=str(repository.path)) == second
    assert releases.follows(layout) == f"main {repository.path}"
    assert releases.news(layout, first, second) == ["## 1.1.0", "- Entry of 1.1.0."]
    assert obtain(layout, repository=str(repository.path), ref="main") == second


@pytest.mark.parametrize(("version", "day", "older"), [("1.0.1", 3, True), ("1.1.0", 1, True), ("1.1.0", 3, False)])
def test_a_release_is_older_by_its_version_then_by_the_time_of_its_commit(
    version: str, day: int, older: bool, repository: Repository, layout: Layout, tmp_path: Path
):
    repository.commit("1.1.0", day=2)
    old = running(layout, take(layout, repository.publish(tmp_path / "published", "1.1.0")))
    new = repository.commit(version, day=day)
    published = repository.publish(tmp_path / "published", version)
    assert take(layout, published) == new
    assert releases.is_older(layout, new, than=old) is older
    if older:
        wanted = upgrade.Wanted(archive=str(published))
        with pytest.raises(upgrade.UpgradeFault, match=rf"^{new} \({version}\) is older than {old}"):
            upgrade.upgrade(layout, wanted, ready_seconds=1, progress=Progress(StringIO()))
        assert releases.running(layout) == old


def test_a_download_ends_when_it_is_larger_than_any_release(address: str, layout: Layout, archive: Path, monkeypatch):
    assert download.MOST_BYTES == 512 * 1024**2
    size = archive.stat().st_size
    monkeypatch.setattr(download, "MOST_BYTES", size)
    take(layout, address)
    monkeypatch.setattr(download, "MOST_BYTES", size - 1)
    with pytest.raises(BadPackage, match="is larger than a release"):
        take(layout, address)


@pytest.mark.parametrize(("name", "most"), [("_MOST_MEMBERS", 50_000), ("_MOST_BYTES", 1024**3)])
def test_an_archive_has_so_many_files_and_bytes(archive: Path, monkeypatch, name: str, most: int):
    assert getattr(contents, name) == most
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    limit = len(members) if name == "_MOST_MEMBERS" else sum(each.size for each in members)
    monkeypatch.setattr(contents, name, limit)
    contents.of_archive(archive)
    monkeypatch.setattr(contents, name, limit - 1)
    with pytest.raises(BadPackage, match="more than a release"):
        contents.of_archive(archive)
