from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from servers.gamehost import launcher
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.process import supervisor


def _fail(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("nobody expected this")


def test_an_unexpected_error_ends_a_supervisor_and_is_kept_beside_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must never go on as the template that it was forked from."""
    directory = ServerDirectory(tmp_path / "1")
    directory.state_file.parent.mkdir(parents=True)
    monkeypatch.setattr(launcher, "lock_patiently", _fail)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        # That of pytest is no descriptor.
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        try:
            supervisor._supervise(directory, writer)
        finally:
            os._exit(42)
    os.close(reader)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "nobody expected this" in directory.state_file.with_name("supervisor.err").read_text()
