"""Runs SteamCMD with a script. Secrets are neither on the command line, nor in the log, nor left on disk."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands
from servers.gamehost.port import Watch
from servers.gamehost.steamcmd import verdicts
from servers.gamehost.steamcmd.output import APP, Reading, clean, installed_build, manifest, public_build
from servers.gamehost.steamcmd.problems import Kind, Problem, Remedy

_LONGEST_SECONDS: Final = 6 * 3600
_SILENT_SECONDS: Final = 900
_LOOK_SECONDS: Final = 300
_PLATFORM: Final = "@sSteamCmdForcePlatformType"

_CONFIRMATION_SECONDS: Final = 300
_MOST_SELF_UPDATES: Final = 3


class LookupFailed(Exception):
    """The newest build could not be looked up. The message is for the operator."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """An account that owns the game, for when Steam refuses the app to anonymous logins."""

    username: str
    password: str = field(repr=False)
    guard_code: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self.password, self.guard_code) if secret)

    def __post_init__(self) -> None:
        """Raise ValueError for characters that a script of SteamCMD cannot contain."""
        for value in (self.username, self.password, self.guard_code):
            if any(c in '"\r\n\0' for c in value):
                raise ValueError("a Steam login cannot contain quotes or line breaks")


@dataclass(frozen=True, kw_only=True)
class SteamCmd:
    """The program, and the home directory that keeps its caches between runs."""

    program: Path
    home: Path

    def update(
        self, tree: Path, *, login: Login | None, watch: Watch, attempt: int = 0, after: Problem | None = None
    ) -> Problem | None:
        """Install or update game in `tree`. Returns the problem, None on success. Raises Cancelled, CommandError.

        Steam refuses the Linux app to anonymous logins unless the Windows one was installed before in the same
        session. A complete installation takes Linux updates directly. Steam's answers depend on the order of the
        commands in ways that change, so each `attempt` takes another order; `after` is the problem of the last one.
        """
        if after and after.remedy:
            self._apply(after.remedy, tree)
        refused = after is not None and after.kind is Kind.PLATFORM
        both = login is None and (refused or installed_build(tree) is None)
        script = _install_script(tree, login, both=both, attempt=attempt)
        problem = None
        for _ in range(_MOST_SELF_UPDATES):
            reading = Reading()
            try:
                status, _output = self._run(
                    script, reading=reading, login=login, watch=watch, seconds=_LONGEST_SECONDS
                )
            except commands.CommandMissing as error:
                return replace(verdicts.NOT_INSTALLED, said=str(error))
            problem = reading.verdict(status, wanted=2 if both else 1)
            if problem is None or problem.kind is not Kind.SELF_UPDATE:
                break
            watch.log("SteamCMD updated itself; restarting it.")
        return problem

    def newest_build(self, *, watch: Watch) -> str | None:
        """The build that Steam offers now; None if it cannot be found out. Raises Cancelled, CommandError."""
        try:
            return self.look_up_build(watch=watch)
        except LookupFailed as fault:
            watch.log(f"The newest build could not be looked up: {fault}")
            return None

    def look_up_build(self, *, watch: Watch, afresh: bool = False) -> str:
        """The build that Steam offers now. Raises LookupFailed, Cancelled, CommandError.

        `afresh` forgets the description that an earlier run stored: SteamCMD may print it instead of asking.
        """
        if afresh:
            self._apply(Remedy.FORGET_CACHES, self.home)
        # The first print of a session often comes before the answer of Steam, and then says only that it asks for it.
        script = [_login_line(None), "app_info_update 1", *[f"app_info_print {APP}"] * 2]
        reading = Reading()
        status, output = self._run(script, reading=reading, login=None, watch=_Quiet(watch), seconds=_LOOK_SECONDS)
        if build := public_build(output):
            return build
        problem = reading.verdict(status, wanted=0)
        raise LookupFailed(str(problem) if problem else "SteamCMD did not name the newest build of the game")

    def _run(
        self, script: Sequence[str], *, reading: Reading, login: Login | None, watch: Watch, seconds: float
    ) -> tuple[int | None, str]:
        """Run a script. Returns the exit status (None if it was ended for printing nothing) and the output."""
        listener = _Listener(reading, watch, hidden=login.secrets if login else ())
        self.home.mkdir(parents=True, exist_ok=True)
        file = self._write_script(script)
        try:
            done = commands.run(
                [self.program, "+runscript", file],
                timeout=seconds,
                cwd=self.home,
                env=self._environment(),
                on_line=listener.take,
                cancelled=lambda: watch.cancelled() or listener.must_end(),
                check=False,
                with_pty=True,  # without one it writes in blocks and progress comes in jumps
            )
        except Cancelled:
            if watch.cancelled():
                raise
            return None, ""
        finally:
            file.unlink(missing_ok=True)
        return done.status, done.output

    def _apply(self, remedy: Remedy, tree: Path) -> None:
        if remedy is Remedy.FORGET_MANIFEST:
            manifest(tree).unlink(missing_ok=True)
        else:
            for place in ("Steam", ".steam/steam", ".local/share/Steam"):
                shutil.rmtree(self.home / place / "appcache", ignore_errors=True)

    def _write_script(self, lines: Sequence[str]) -> Path:
        file = self.home / f"script-{secrets.token_hex(8)}.txt"
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        script_lines = ["@ShutdownOnFailedCommand 1", "@NoPromptForPassword 1", *lines, "quit"]
        with os.fdopen(fd, "w") as script:
            script.write("\n".join(script_lines) + "\n")
        return file

    def _environment(self) -> dict[str, str]:
        # HOME keeps SteamCMD's caches with the application; its app cache makes later runs succeed more often.
        return {"HOME": str(self.home), "PATH": "/usr/games:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class _Listener:
    """Receives the output of one session and passes progress and log to the watch, without secrets."""

    def __init__(self, reading: Reading, watch: Watch, *, hidden: Sequence[str]) -> None:
        self._reading = reading
        self._watch = watch
        self._hidden = hidden
        self._last_line_at = time.monotonic()
        self._asked_at: float | None = None

    def must_end(self) -> bool:
        """Whether the session waits in vain. While it waits for a person, the watch is told how long it still does."""
        now = time.monotonic()
        if not self._reading.waits_for_confirmation:
            self._asked_at = None
            return now - self._last_line_at > _SILENT_SECONDS
        if self._asked_at is None:
            self._asked_at = now
            self._watch.log(
                "Action needed: confirm the login in the Steam Mobile app "
                f"within {_CONFIRMATION_SECONDS // 60} minutes."
            )
        waited = now - self._asked_at
        phase = "Action needed: confirm the login in the Steam Mobile app"
        self._watch.progress(phase=phase, done=int(waited), total=_CONFIRMATION_SECONDS, unit="s")
        return waited > _CONFIRMATION_SECONDS

    def take(self, raw: str) -> None:
        self._last_line_at = time.monotonic()
        line = clean(raw)
        for secret in self._hidden:
            line = line.replace(secret, "…")
        if progress := self._reading.take(line):
            self._watch.progress(phase=progress.phase, done=progress.done, total=progress.total, unit=progress.unit)
        elif line:
            self._watch.log(line)


class _Quiet:
    """A watch without log lines, for a query that prints thousands of them."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None:
        self._watch.progress(phase=phase, done=done, total=total, unit=unit)

    def log(self, line: str) -> None:
        pass

    def cancelled(self) -> bool:
        return self._watch.cancelled()


def _login_line(login: Login | None) -> str:
    if login is None:
        return "login anonymous"
    words = [login.username, login.password, *([login.guard_code] if login.guard_code else [])]
    return "login " + " ".join(f'"{word}"' for word in words)


def _install_script(tree: Path, login: Login | None, *, both: bool, attempt: int) -> list[str]:
    """The commands of one attempt. The directory comes before the login, as Valve asks; every other time after it."""
    opening = [f'force_install_dir "{tree}"', _login_line(login)]
    if attempt % 2:
        opening.reverse()
    linux = [f"{_PLATFORM} linux", f"app_update {APP} validate"]
    if not both:
        return [*opening, *linux]
    if attempt % 4 >= 2:
        return [f"{_PLATFORM} windows", *opening, "app_info_update 1", f"app_update {APP}", *linux]
    return [*opening, f"{_PLATFORM} windows", f"app_update {APP}", *linux]
