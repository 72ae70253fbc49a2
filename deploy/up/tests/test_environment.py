"""What bin/up and bin/test say when a machine lacks something: one sentence with the cure."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_BIN = Path(__file__).resolve().parents[3] / "bin"
_SYSTEM = "/usr/bin:/bin"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the scripts and a lock file, and nothing installed."""
    (tmp_path / "bin").mkdir()
    shutil.copy(_BIN / "_environment.sh", tmp_path / "bin")
    (tmp_path / "requirements.txt").write_text("")
    tmp_path.chmod(0o755)
    return tmp_path


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _run(checkout: Path, command: str, *, path: str = _SYSTEM, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail; . bin/_environment.sh; {command}"],
        cwd=checkout,
        env={"PATH": path, "HOME": str(checkout)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_a_missing_python_is_one_sentence_with_the_cure(checkout: Path):
    tools = checkout / "tools"
    tools.mkdir()
    for name in ("id", "basename"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    finished = _run(checkout, "find_python", path=str(tools))
    assert finished.returncode == 1
    assert "Python 3.11 or newer was not found. Install it" in finished.stderr


def test_an_old_python_does_not_count(checkout: Path):
    tools = checkout / "tools"
    _script(tools / "python3", "exit 1")
    _script(tools / "python3.12", "exit 0")
    finished = _run(checkout, "find_python", path=f"{tools}:{_SYSTEM}")
    assert finished.stdout.strip().endswith(("python3.12", "python3.11"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write here")
def test_a_read_only_checkout_is_one_sentence_with_the_cure(checkout: Path):
    for parent in checkout.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o755)
    finished = _run(checkout, "make_venv", user=65534, group=65534, extra_groups=[])
    assert finished.returncode == 1
    assert "cannot be written. Clone left4me into a directory of your own." in finished.stderr


_WITHOUT_ENSUREPIP = """\
case "$*" in
  *ensurepip*) exit 1 ;;
  *--without-pip*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *--version*) echo Python 3.13 ;;
  */pip-1-py3-none-any.whl/pip\\ install*) echo "$*" >.venv/pip ;;
esac"""


def _debian_without_venv(checkout: Path, *, packages: str) -> str:
    """The search path of a system where nobody is root; `packages` is what apt-get does."""
    tools = checkout / "tools"
    _script(tools / "python3", _WITHOUT_ENSUREPIP)
    _script(tools / "apt-get", packages)
    _script(
        tools / "dpkg-deb", "mkdir -p usr/share/python-wheels && touch usr/share/python-wheels/pip-1-py3-none-any.whl"
    )
    _script(tools / "id", "echo 1000")
    return f"{tools}:{_SYSTEM}"


def test_without_venv_and_without_root_pip_comes_out_of_debians_package(checkout: Path):
    fetch = 'case "$*" in *download*) touch python3-pip-whl_1_all.deb ;; esac'
    finished = _run(checkout, "make_venv", path=_debian_without_venv(checkout, packages=fetch))
    assert finished.returncode == 0, finished.stderr
    assert "this needs root: sudo apt-get install python3-venv\n" in finished.stderr
    assert "--no-index --no-deps" in (checkout / ".venv/pip").read_text()


def test_without_venv_root_and_packages_it_is_one_sentence_with_the_cure(checkout: Path):
    finished = _run(checkout, "make_venv", path=_debian_without_venv(checkout, packages="exit 1"))
    assert finished.returncode == 1
    assert "Run `sudo apt-get install python3-venv` and start again." in finished.stderr
    assert not (checkout / ".venv").exists()


def _fake_pip(checkout: Path, text: str) -> None:
    _script(checkout / ".venv" / "bin" / "python", text)


def test_no_network_is_one_sentence_with_the_cure(checkout: Path):
    _fake_pip(checkout, "echo 'WARNING: Retrying after connection broken by NewConnectionError' >&2; exit 1")
    finished = _run(checkout, "install_locked requirements.txt")
    assert finished.returncode == 1
    assert "the package index cannot be reached" in finished.stderr
    assert "nothing is lost" in finished.stderr


def test_another_fault_of_the_installation_points_at_its_log(checkout: Path):
    _fake_pip(checkout, "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES' >&2; exit 1")
    finished = _run(checkout, "install_locked requirements.txt")
    assert finished.returncode == 1
    assert "DO NOT MATCH THE HASHES" in finished.stderr
    assert ".venv/install.log has the whole story" in finished.stderr


def test_packages_are_installed_once_and_again_when_the_lock_file_changed(checkout: Path):
    _fake_pip(checkout, 'case "$*" in *" install "*) echo installed >> calls ;; esac')
    for _ in range(2):
        assert _run(checkout, "install_locked requirements.txt").returncode == 0
    assert (checkout / "calls").read_text().count("installed") == 1
    (checkout / "requirements.txt").write_text("# changed")
    assert _run(checkout, "install_locked requirements.txt").returncode == 0
    assert (checkout / "calls").read_text().count("installed") == 2
