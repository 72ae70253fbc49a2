"""A place to run servers in: a small game, overlays, a cache, a runtime over them, and a line to the toy game."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import Observed, ServerRuntime
from servers.gamehost.spec import CACHE_PATH, Bind, InstanceSpec, RestartPolicy, StopLimits

HERE = Path(__file__).parent
ORDINARY = 64_242  # a user id without an account

QUICK = RestartPolicy(most=2, within_seconds=60, first_pause_seconds=0.05, longest_pause_seconds=0.1)
SHORT = StopLimits(quit_seconds=3, term_seconds=3, kill_seconds=10)


class Stage:
    def __init__(self, root: Path, runtime: ServerRuntime, *, owner: int | None = None) -> None:
        self.root = root
        self.runtime = runtime
        self.cache = root / "workshop_cache"
        self.game = root / "game"
        self.overlay = root / "overlays/1"
        self._used: set[int] = set()
        self._make_trees()
        if owner is not None:
            give(root, owner)

    def _make_trees(self) -> None:
        for directory in (self.game / "left4dead2/cfg", self.overlay / "left4dead2/addons", self.cache):
            directory.mkdir(parents=True)
        shutil.copy(HERE / "toy_game.py", self.game / "toy_game.py")
        (self.game / "left4dead2/cfg/valve.rc").write_text("stock\n")
        (self.game / "left4dead2/gameinfo.txt").write_text("game\n")
        (self.overlay / "left4dead2/gameinfo.txt").write_text("overlay\n")
        configs = self.overlay / "left4dead2/addons/sourcemod/configs"
        configs.mkdir(parents=True)
        (configs / "admins_simple.ini").write_text("of the overlay\n")
        (self.overlay / "left4dead2/addons/99.vpk").symlink_to(f"{CACHE_PATH}/99.vpk")
        (self.cache / "99.vpk").write_text("vpk\n")

    def spec(self, server_id: int, *arguments: str, **changes: Any) -> InstanceSpec:
        self._used.add(server_id)
        port = changes.pop("port", None) or free_port()
        values = {
            "server_id": server_id,
            "argv": ("/usr/bin/python3", "-S", "./toy_game.py", "-port", str(port), *arguments),
            "layers": (str(self.overlay), str(self.game)),
            "port": port,
            "generated": {"left4dead2/cfg/server.cfg": 'rcon_password "hidden"\n'},
            "binds": (Bind(source=str(self.cache), target=CACHE_PATH),),
            "restart": QUICK,
            "stop": SHORT,
        }
        return InstanceSpec(**{**values, **changes})

    def directory(self, server_id: int) -> ServerDirectory:
        return ServerDirectory(self.root / "servers" / str(server_id))

    def start(self, spec: InstanceSpec) -> InstanceSpec:
        self.runtime.start(spec)
        wait_until(lambda: reachable(spec))
        return spec

    def observe(self, spec: InstanceSpec) -> Observed:
        return self.runtime.observe([spec.server_id])[spec.server_id]

    def clear(self) -> None:
        for server_id in self._used:
            self.runtime.kill(server_id)


def ask(spec: InstanceSpec, code: str) -> dict[str, Any]:
    """What the game, told to run this Python, answers: `{"value": …}` or `{"error": …, "words": …}`."""
    with _connection(spec) as connection, connection.makefile("rw") as stream:
        stream.write(json.dumps(code) + "\n")
        stream.flush()
        return json.loads(stream.readline())


def value(spec: InstanceSpec, code: str) -> Any:
    answer = ask(spec, code)
    assert "value" in answer, answer
    return answer["value"]


def refusal(spec: InstanceSpec, code: str) -> str:
    answer = ask(spec, code)
    assert "error" in answer, answer
    return answer["error"]


def order(spec: InstanceSpec, code: str) -> None:
    """Tell the game something that it does not live to answer."""
    with _connection(spec) as connection, suppress(ConnectionResetError):
        connection.sendall((code if code == "quit" else json.dumps(code)).encode() + b"\n")
        connection.recv(1)


def _connection(spec: InstanceSpec) -> socket.socket:
    return socket.create_connection(("127.0.0.1", spec.port), timeout=20)


def quit_game(spec: InstanceSpec) -> Callable[[], None]:
    return lambda: order(spec, "quit")


def reachable(spec: InstanceSpec) -> bool:
    try:
        return ask(spec, "1") == {"value": 1}
    except (OSError, ValueError):
        return False


def wait_until(condition: Callable[[], object], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def give(path: Path, uid: int) -> None:
    for top, _, files in os.walk(path):
        for name in (".", *files):
            os.chown(Path(top, name), uid, uid, follow_symlinks=False)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="left4me-test-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        # The kernel's own directory in an overlay may be entered by root only; it belongs to whoever mounted it.
        for top, folders, _ in os.walk(path):
            for folder in (Path(top, name) for name in folders):
                if not folder.is_symlink() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                    folder.chmod(0o700)
        shutil.rmtree(path)


class Following:
    """Added to a runtime under test."""

    def call_follow(self, server_id: int, cursor: str | None, until: str) -> list[str]:
        """Follow until a line says `until`; in one call, so that it can happen in another process."""
        follower = self.follow(server_id, cursor=cursor)
        texts: list[str] = []
        while until not in texts:
            texts += [line.text for line in follower.read()]
            time.sleep(0.01)
        follower.close()
        return texts


class AsOrdinaryUser:
    """Every call on the runtime happens in a child process that has become an ordinary user."""

    def __init__(self, runtime: ServerRuntime, uid: int) -> None:
        self._runtime = runtime
        self._uid = uid

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.call(lambda: getattr(self._runtime, name)(*args, **kwargs))

    def call(self, work: Callable[[], Any]) -> Any:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._work_in_child(work, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            said = file.read()
        os.waitpid(pid, 0)
        kind, result = pickle.loads(said)  # noqa: S301 -- our own child
        if kind == "error":
            raise result
        return result

    def _work_in_child(self, work: Callable[[], Any], writer: int) -> None:
        try:
            os.setgroups([])
            os.setresgid(self._uid, self._uid, self._uid)
            os.setresuid(self._uid, self._uid, self._uid)
            try:
                said = ("result", work())
            except Exception as error:
                said = ("error", error)
            with os.fdopen(writer, "wb") as file:
                pickle.dump(said, file)
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(0)
