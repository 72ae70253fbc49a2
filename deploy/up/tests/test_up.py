"""bin/up as its user meets it: real processes on a data directory and a port of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _command(root: Path, port: int) -> tuple[list[str], dict[str, str]]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LEFT4ME_", "DATABASE_", "REDIS_"))}
    env |= {"LEFT4ME_ROOT": str(root), "LEFT4ME_BIND": f"127.0.0.1:{port}", "PYTHONWARNINGS": "ignore"}
    return [sys.executable, "-m", "deploy.up"], env


def _run_up(root: Path, port: int) -> subprocess.CompletedProcess[str]:
    argv, env = _command(root, port)
    return subprocess.run(argv, env=env, cwd=_REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _processes_of(root: Path) -> list[str]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"LEFT4ME_ROOT={root}".encode() in environ.read_bytes().split(b"\0"):
                found.append((environ.parent / "cmdline").read_text().replace("\0", " "))
    return [words for words in found if words]


Running = tuple[subprocess.Popen[bytes], Path, int]


@pytest.fixture
def first_start(tmp_path: Path) -> Iterator[Running]:
    """It runs on a data directory where nothing was before."""
    port = _free_port()
    argv, env = _command(tmp_path, port)
    tmp_path.chmod(0o755)
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(argv, env=env, cwd=_REPOSITORY, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert process.poll() is None, (tmp_path / "up.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "up.log").read_text()
            time.sleep(0.1)
        yield process, tmp_path, port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.fixture
def _prepared(tmp_path: Path, collected_static: Path, migrated_database: Path) -> None:
    shutil.copytree(collected_static, tmp_path / "static")
    shutil.copyfile(migrated_database, tmp_path / "left4me.sqlite3")


@pytest.fixture
def running(_prepared: None, first_start: Running) -> Running:
    """It runs on a data directory where it needs to prepare nothing, which takes 20 s less."""
    return first_start


def test_it_serves_refuses_a_second_start_and_stops_without_leaving_anything(first_start: Running):
    process, root, port = first_start
    assert (root / "secret_key").stat().st_mode & 0o777 == 0o600
    assert root.stat().st_mode & 0o777 == 0o700, "nobody else reads the database"

    second = _run_up(root, _free_port())
    assert second.returncode == 1
    assert f"already running on {root}" in second.stderr
    assert f"http://127.0.0.1:{port}" in second.stderr

    with pytest.raises(urllib.error.HTTPError) as login_wanted:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/no-such-page", timeout=10)
    assert login_wanted.value.code in {401, 404}
    login_wanted.value.close()

    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert process.wait(30) == 0
    assert time.monotonic() - started < 15
    assert _processes_of(root) == []


def test_it_says_that_it_runs_when_ready_answers_200(running):
    _, root, port = running
    deadline = time.monotonic() + 60
    while "left4me is running at" not in (root / "up.log").read_text():
        assert time.monotonic() < deadline, (root / "up.log").read_text()
        time.sleep(0.02)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
        assert answer.status == 200


def test_killing_the_supervisor_takes_the_services_with_it(running):
    process, root, port = running
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 30
    while (left := _processes_of(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    assert not _answers(port)


def test_a_fallen_service_is_started_again(running):
    _, root, _ = running
    beats = [
        int(name.parent.name)
        for name in Path("/proc").glob("[0-9]*/comm")
        if _read(name) == b"left4me-beat\n" and f"LEFT4ME_ROOT={root}".encode() in _read(name.parent / "environ")
    ]
    assert len(beats) == 1
    os.kill(beats[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while "starting it again" not in (root / "up.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "beat ended with status -9; starting it again in 1 s." in (root / "up.log").read_text()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_busy_port_is_one_sentence_with_the_cure(tmp_path: Path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        finished = _run_up(tmp_path, busy.getsockname()[1])
    assert finished.returncode == 1
    assert "cannot be used (Address already in use)" in finished.stderr
    assert "set LEFT4ME_BIND=127.0.0.1:" in finished.stderr


def test_a_data_directory_that_cannot_be_made_is_one_sentence_with_the_cure(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    finished = _run_up(tmp_path / "file" / "var", _free_port())
    assert finished.returncode == 1
    assert "cannot be written (Not a directory)" in finished.stderr
    assert "LEFT4ME_ROOT" in finished.stderr


def test_a_wrong_setting_is_one_sentence(tmp_path: Path):
    argv, env = _command(tmp_path, _free_port())
    finished = subprocess.run(
        argv,
        env=env | {"LEFT4ME_GAME": "chess"},
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr == "bin/up: LEFT4ME_GAME='chess' is not supported. Set it to one of: steam, simulated.\n"
