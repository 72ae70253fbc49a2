"""The parts that both runtimes share: stop limits, asking the game to quit, delete, disk usage, exit codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import Exit, Outcome, RuntimeFault
from servers.gamehost.spec import SpecInvalid, StopLimits
from servers.gamehost.storage import Storage, used


class RuntimeBase(ABC):
    """The directories of servers below `root`, and what a runtime does with them while nothing runs."""

    def __init__(self, *, root: Path) -> None:
        self._storage = Storage(root)

    @abstractmethod
    def _is_on(self, server_id: int) -> bool:
        """Whether the server runs, or will be restarted by itself. Raises RuntimeFault."""

    def delete(self, server_id: int, *, now: datetime) -> Outcome:
        """See `ServerRuntime.delete`."""
        if self._is_on(server_id):
            raise RuntimeFault("the server is running")
        try:
            deleted = self._storage.delete(server_id, now=now)
        except OSError as error:
            raise RuntimeFault(f"the server's files could not be removed: {error}") from error
        return Outcome.DELETED if deleted else Outcome.ALREADY_DELETED

    def _used_bytes(self, server_id: int, *, with_disk: bool) -> int | None:
        """The size of the writable layer; None when it was not asked for or does not exist."""
        upper = self._storage.of(server_id).upper
        return used(upper).size if with_disk and upper.exists() else None


def stop_limits(directory: ServerDirectory) -> StopLimits:
    """The limits of the server's spec; the defaults when the spec cannot be read: a stop must work without it."""
    try:
        return directory.read_spec().stop
    except (OSError, SpecInvalid):
        return StopLimits()


def ask_to_quit(quit_game: Callable[[], None]) -> bool:
    """Call `quit_game`; return whether it is worth waiting for the game to end by itself."""
    try:
        quit_game()
    except Exception:
        # Whatever RCON met, the game may not have received `quit`; TERM follows at once.
        return False
    return True


def exit_of(code: int, at: float) -> Exit:
    """Decode the exit code of a launcher, which is 128 + n when signal n ended the game."""
    signal = code - 128 if code > 128 else None
    return Exit(status=None if signal else code, signal=signal, at=datetime.fromtimestamp(at, UTC))
