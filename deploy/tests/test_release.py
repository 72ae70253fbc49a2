"""What bin/release builds, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy import release
from deploy.ops.release_archive import signature

ROOT = Path(__file__).resolve().parents[2]
MOMENT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
# What bin/release reads of a checkout.
READ = (
    "sbom.json",
    "pyproject.toml",
    "left4me/core/version.py",
    "deploy/container/Dockerfile",
    "deploy/commit.txt",
    ".gitattributes",
)


def git(tree: Path, *words: str) -> str:
    env = {**os.environ, "GIT_COMMITTER_DATE": MOMENT.isoformat(), "GIT_AUTHOR_DATE": MOMENT.isoformat()}
    argv = ["git", "-c", "user.name=left4me", "-c", "user.email=left4me@localhost", *words]
    return subprocess.run(argv, cwd=tree, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """A small checkout, committed, that is ready to be released as 3.2.1."""
    tree = tmp_path / "checkout"
    for name in READ:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    for name, pattern in (
        ("pyproject.toml", r'(?m)^(version = ").*(")$'),
        ("left4me/core/version.py", r'(?m)^(PROJECT_VERSION = ").*(")$'),
        ("deploy/container/Dockerfile", r"(?m)^(ARG RELEASE=).*()$"),
        ("sbom.json", r'(?m)^(   "version": ").*(")$'),
    ):
        text, count = re.subn(pattern, r"\g<1>3.2.1\g<2>", (tree / name).read_text())
        assert count == 1
        (tree / name).write_text(text)
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 3.2.1 – 2026-11-29\n\n- It runs.\n")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    (tree / ".gitignore").write_text("/dist/\n/secret.env\n")
    (tree / "secret.env").write_text("KEY=1\n")
    git(tree, "init", "-q")
    git(tree, "add", "--all")
    git(tree, "commit", "-q", "-m", "As it is")
    return tree


def built(tree: Path, target: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in release.build(tree, "3.2.1", target)}


def test_two_builds_give_the_same_bytes(tree, tmp_path):
    first = built(tree, tree / "dist")
    # Another person, later: a clone whose files are younger, and settings that git would write into an archive.
    git(tree, "clone", "-q", str(tree), str(tmp_path / "elsewhere"))
    clone = tmp_path / "elsewhere"
    git(clone, "config", "tar.umask", "0077")
    os.utime(clone / "run", (2_000_000_000, 2_000_000_000))
    assert built(clone, tmp_path / "out") == first
    assert sorted(first) == ["SHA256SUMS", "left4me-3.2.1.cdx.json", "left4me-3.2.1.tar.gz"]


def test_the_archive_holds_what_is_committed_and_nothing_of_who_built_it(tree):
    built(tree, tree / "dist")
    archive = tree / "dist/left4me-3.2.1.tar.gz"
    with tarfile.open(archive) as opened:
        members = {member.name: member for member in opened.getmembers()}
    files = {name.removeprefix("left4me-3.2.1/") for name, member in members.items() if member.isfile()}
    assert files == set(git(tree, "ls-files").splitlines())
    assert {(each.uid, each.gid, each.mtime) for each in members.values()} == {(0, 0, MOMENT.timestamp())}
    assert members["left4me-3.2.1/run"].mode == 0o755
    # Flags and time of gzip: no name, no moment.
    assert archive.read_bytes()[3:8] == bytes(5)


def test_the_checksums_are_of_the_other_files(tree):
    files = built(tree, tree / "dist")
    lines = files.pop("SHA256SUMS").decode().splitlines()
    assert lines == [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in files.items()]


def test_a_tree_with_changes_is_refused(tree):
    (tree / "run").write_text("#!/bin/bash\n")
    with pytest.raises(release.Refused, match=r"not committed \(run\).*Commit or remove"):
        release.build(tree, "3.2.1", tree / "dist")


def test_a_tree_with_a_forgotten_file_is_refused(tree):
    (tree / "new.py").write_text("")
    with pytest.raises(release.Refused, match=r"not committed \(new\.py\)"):
        release.build(tree, "3.2.1", tree / "dist")


@pytest.mark.parametrize("version", ["3.2.10", "3.2.2", "2.1.0"])
def test_a_version_without_a_section_in_the_changelog_is_refused(tree, version):
    with pytest.raises(release.Refused, match=r"has no section “## .*Move the entries of “Unreleased”"):
        release.build(tree, version, tree / "dist")


@pytest.mark.parametrize("version", ["", "1.0", "v3.2.1", "3.2.1/../x"])
def test_what_is_no_version_is_refused(tree, version):
    with pytest.raises(release.Refused, match="three numbers"):
        release.build(tree, version, tree / "dist")


def test_a_version_that_another_file_contradicts_is_refused(tree):
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## 3.3.0\n")
    git(tree, "commit", "-q", "-a", "-m", "Announce it only")
    with pytest.raises(release.Refused, match=r"pyproject\.toml names another version"):
        release.build(tree, "3.3.0", tree / "dist")
    assert not (tree / "dist").exists()


def test_a_tag_of_another_commit_is_refused_and_one_of_this_commit_is_not(tree):
    git(tree, "tag", "-a", "v3.2.1", "-m", "left4me 3.2.1")
    built(tree, tree / "dist")
    assert "git tag" not in release.next_steps(tree, "3.2.1", tree / "dist", is_signed=False)
    git(tree, "commit", "-q", "--allow-empty", "-m", "One more")
    with pytest.raises(release.Refused, match=r"tag v3\.2\.1 is of another commit.*next version"):
        release.build(tree, "3.2.1", tree / "dist")


def test_it_tells_how_to_sign_and_tag_and_does_neither(tree):
    built(tree, tree / "dist")
    steps = release.next_steps(tree, "3.2.1", tree / "dist", is_signed=False)
    assert f'git tag --sign v3.2.1 --message "left4me 3.2.1" {git(tree, "rev-parse", "HEAD")}' in steps
    assert "ssh-keygen -Y sign -n left4me-release -f KEY dist/SHA256SUMS" in steps
    assert "git push origin HEAD v3.2.1" in steps
    assert git(tree, "tag") == ""


@pytest.mark.signatures
def test_with_a_key_the_checksums_are_signed_and_everything_else_is_the_same(tree, tmp_path):
    unsigned = built(tree, tree / "dist")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    files = {path.name: path.read_bytes() for path in release.build(tree, "3.2.1", tree / "dist", key=key)}
    made = files.pop("SHA256SUMS.sig")
    assert files == unsigned
    signers = tmp_path / "allowed_signers"
    signers.write_text(f'anna namespaces="left4me-release" {key.with_suffix(".pub").read_text()}')
    assert signature.signer(files["SHA256SUMS"].decode(), made, signers) == "anna"
    assert "ssh-keygen" not in release.next_steps(tree, "3.2.1", tree / "dist", is_signed=True)
    built(tree, tree / "dist")
    assert not (tree / "dist/SHA256SUMS.sig").exists(), "a signature of before is none of these"


def test_a_key_that_is_not_there_is_refused_before_anything_is_built(tree):
    with pytest.raises(release.Refused, match="ssh-keygen -t ed25519"):
        release.build(tree, "3.2.1", tree / "dist", key=tree / "nowhere")
    assert not (tree / "dist").exists()


def test_a_tree_whose_archive_would_not_say_which_commit_it_is_of_is_refused(tree):
    (tree / ".gitattributes").unlink()
    git(tree, "commit", "-q", "-a", "-m", "Forget it")
    with pytest.raises(release.Refused, match=r"no release archive.*\.gitattributes"):
        release.build(tree, "3.2.1", tree / "dist")
    assert not (tree / "dist/SHA256SUMS").exists()


def test_the_sbom_is_the_committed_one_and_lists_what_is_locked(tree):
    content = built(tree, tree / "dist")["left4me-3.2.1.cdx.json"]
    assert content == (tree / "sbom.json").read_bytes()
    document = json.loads(content)
    pins = re.findall(r"(?m)^([\w.-]+)(?:\[.*?\])?==([^\s;]+)", (ROOT / "requirements.txt").read_text())
    listed = {part["purl"] for part in document["components"] if part["licenses"]}
    assert len(pins) > 50
    assert listed >= {f"pkg:pypi/{name}@{version}" for name, version in pins}
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["version"] == "3.2.1"


def test_the_sbom_has_the_hashes_of_the_lock_and_every_part_is_there_for_another_one():
    document = json.loads((ROOT / "sbom.json").read_text())
    lock = (ROOT / "requirements.txt").read_text()
    python = [part for part in document["components"] if part["purl"].startswith("pkg:pypi/")]
    hashes = {each["content"] for part in python for each in part["hashes"]}
    assert hashes == set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock))
    refs = {part["bom-ref"] for part in document["components"]}
    graph = {entry["ref"]: set(entry["dependsOn"]) for entry in document["dependencies"]}
    assert graph.keys() == refs | {"left4me"}
    assert set().union(*graph.values()) == refs
    purl = {part["name"]: part["purl"] for part in python}
    assert purl["vine"] in graph[purl["amqp"]]
    assert purl["vine"] not in graph["left4me"]


def test_files_of_the_front_end_have_the_hashes_that_they_have():
    document = json.loads((ROOT / "sbom.json").read_text())
    files = [file for part in document["components"] for file in part.get("components", ())]
    assert len(files) > 10
    for file in files:
        assert [hashlib.sha256((ROOT / file["name"]).read_bytes()).hexdigest()] == [
            each["content"] for each in file["hashes"]
        ]


def test_a_refusal_is_one_line_and_nothing_is_built(tree):
    (tree / "deploy/release.py").write_bytes((ROOT / "deploy/release.py").read_bytes())
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "deploy/release.py", "3.2.1"]
    refused = subprocess.run(argv, cwd=tree, env=env, check=False, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("bin/release: The tree has changes that are not committed (deploy/release.py)")
    git(tree, "add", "--all")
    git(tree, "commit", "-q", "-m", "Bring the command too")
    done = subprocess.run(argv, cwd=tree, env=env, check=True, capture_output=True, text=True)
    assert "dist/left4me-3.2.1.tar.gz" in done.stdout
    assert not git(tree, "status", "--porcelain")
