"""The directory of one server, with its spec, writable layer, log, state and locks."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from left4me.core.files import atomic
from left4me.core.processes import procfs
from servers.gamehost.port import State
from servers.gamehost.sandbox.identity import Identity
from servers.gamehost.spec import InstanceSpec

UPPER = "upper"


class ServerDirectory:
    """`servers/<id>/`. The content of `upper` is untrusted: the game writes there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec_file = path / "spec.json"
        self.upper = path / UPPER
        self.work = path / "work"
        self.merged = path / "merged"
        self.logs = path / "log"
        self.replaceable = path / "replaceable"
        self.removals = path / "removals"
        self.moved = path / "moved"
        self.aside = path / "aside"
        self.kept_file = path / "kept.json"
        self.state_file = path / "run/state.json"
        self._lock_file = path / "run/lock"
        self._start_lock_file = path / "run/start.lock"
        self._expected_file = path / "run/end-expected"
        self._exit_file = path / "run/exit.json"
        self._layers_file = path / "run/layers.json"
        self._generated_file = path / "run/generated.json"
        self._moved_file = path / "run/moved.json"

    @property
    def server_id(self) -> int:
        return int(self.path.name)

    def prepare(self) -> None:
        """Create missing directories. Only the owner may read them."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        folders = (self.upper, self.work, self.merged, self.logs, self.replaceable, self.removals)
        for part in (*folders, self.state_file.parent):
            part.mkdir(exist_ok=True, mode=0o700)

    def hand_over(self, who: Identity) -> None:
        """Change the owner of the writable layer to the game's own user, if it has one."""
        if not who.by_root:
            return
        for part in (self.upper, self.work):
            if part.stat().st_uid != who.uid:
                os.chown(part, who.uid, who.gid)

    def write_spec(self, spec: InstanceSpec) -> None:
        _write(self.spec_file, spec.to_json(), durable=True)
        self.write_replaceable(spec.replaceable)
        # Not the directory itself: the tree of a game that runs shows it.
        for path in self.replaceable.rglob("*"):
            if path.is_file() and str(path.relative_to(self.replaceable)) not in spec.replaceable:
                path.unlink()

    def has_replaceable(self, name: str) -> bool:
        """Whether the present start has this file among its replaceable ones."""
        return (self.replaceable / name).is_file()

    def write_replaceable(self, texts: Mapping[str, str]) -> None:
        """Put these texts in the place of replaceable files. A running game reads the new ones when it is told to."""
        for name, text in texts.items():
            path = self.replaceable / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # The game reads it as a user of its own, and it holds no secret.
            atomic.write(path, text, mode=0o644, durable=False)

    def read_spec(self) -> InstanceSpec:
        """Raises OSError or SpecInvalid."""
        return InstanceSpec.from_json(self.spec_file.read_text())

    def try_lock(self) -> int | None:
        """Lock the server for this process and its children. Returns an open file, or None if it is locked already.

        The kernel itself would let two mounts write to one upper directory; only this lock prevents it.
        """
        fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def is_held(self) -> bool:
        """Whether a game of this server runs or is being started."""
        try:
            lock = self.try_lock()
        except FileNotFoundError:
            return False
        if lock is not None:
            os.close(lock)
        return lock is None

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Serialise starts, so that the second one sees the result of the first."""
        fd = os.open(self._start_lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def expect_end(self, *, expected: bool) -> None:
        """Store whether the game's next exit is requested. A launcher whose exit is not gets restarted by systemd."""
        if expected:
            # Without it, systemd's own stop prevents the restart.
            with contextlib.suppress(OSError):
                self._expected_file.touch()
        else:
            self._expected_file.unlink(missing_ok=True)

    def note_exit(self, code: int, at: float) -> bool:
        """Store how the game ended. Returns whether the exit was requested."""
        with contextlib.suppress(OSError):  # a full disk must not turn the end of a game into a failure
            _write(self._exit_file, json.dumps([code, at]))
        return self._expected_file.exists()

    def read_exit(self) -> tuple[int, float] | None:
        try:
            code, at = json.loads(self._exit_file.read_text())
        except (OSError, ValueError, TypeError):
            return None
        return int(code), float(at)

    def note_layers(self, layers: Iterable[str]) -> None:
        """Store the layers that this start mounts: the spec may be replaced while the game runs."""
        _write(self._layers_file, json.dumps(list(layers)))

    def read_layers(self) -> list[str]:
        try:
            return [str(layer) for layer in json.loads(self._layers_file.read_text())]
        except (OSError, ValueError):
            return []

    def note_moved(self, moved: Mapping[str, str]) -> None:
        """Store which files this start shows at other paths."""
        _write(self._moved_file, json.dumps(dict(moved)))

    def read_moved(self) -> dict[str, str]:
        try:
            return {str(old): str(new) for old, new in json.loads(self._moved_file.read_text()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def exchange_generated(self, names: set[str]) -> set[str]:
        """Store the names of the files generated for this start. Returns those of earlier starts that are obsolete."""
        earlier = self.read_generated()
        if earlier != names:
            _write(self._generated_file, json.dumps(sorted(names)), durable=True)
        return earlier - names

    def read_generated(self) -> set[str]:
        """The names of the files that were generated for the last start."""
        try:
            return {str(name) for name in json.loads(self._generated_file.read_text())}
        except (OSError, ValueError):
            return set()

    def read_kept(self) -> dict[str, tuple[int, int]]:
        """Sizes and times of the originals beside which the server's own copies are wanted, by path."""
        try:
            return {
                str(path): (int(size), int(at)) for path, (size, at) in json.loads(self.kept_file.read_text()).items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def read_state(self) -> dict[str, Any] | None:
        """The state that the supervisor stored last; None if there never was one. Raises ValueError or OSError."""
        try:
            state = json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return None
        if not isinstance(state, dict):
            raise ValueError("the state is not an object")
        return state

    def living_supervisor(self) -> int | None:
        """The pid of this server's supervisor if it is alive; never that of another process with a reused pid."""
        try:
            state = self.read_state()
            if not state or state["boot"] != procfs.boot_id():
                return None
            return procfs.same(state["supervisor"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_managed(self) -> bool:
        """Whether a supervisor manages a game here, rather than just ending."""
        if self.living_supervisor() is None:
            return False
        state = self.read_state() or {}
        return state.get("state") not in (State.STOPPED, State.STOPPING, State.GAVE_UP)

    def write_state(self, state: dict[str, Any]) -> None:
        _write(self.state_file, json.dumps(state), durable=True)

    def write_final_state(self, state: dict[str, Any]) -> None:
        """Store a state after which nothing runs. On a full disk the state is removed, which means the same."""
        try:
            self.write_state(state)
        except OSError:
            with contextlib.suppress(OSError):
                self.state_file.unlink()


def _write(path: Path, content: str, *, durable: bool = False) -> None:
    """A reader sees the old content or the new one, whole; with `durable` also after a power cut.

    What is true only of the processes of this boot need not survive one.
    """
    atomic.write(path, content, mode=0o600, durable=durable)
