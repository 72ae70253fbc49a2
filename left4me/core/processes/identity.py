"""The rights of another user: for a program that root starts, or for a function that runs in a child process.

Root uses this for everything that the application could have prepared: its directories, its database, its programs.
Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_LARGEST_RESULT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Identity:
    """A user, the primary group and all other groups, by number."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @property
    def is_ours(self) -> bool:
        """Whether this process has these rights already, or cannot change its own because it is not root."""
        return os.geteuid() != 0 or self.uid == 0

    def assume(self) -> None:
        """Give up root for this user, for good: no program that is started afterwards gains rights."""
        if self.is_ours:
            return
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def of_user(name: str) -> Identity:
    """A user with all groups. Raises KeyError for an unknown name."""
    entry = pwd.getpwnam(name)
    return Identity(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)))


def of_owner(path: Path) -> Identity:
    """The user and the group that own `path`. Nobody but root may be able to replace it."""
    status = path.stat()
    return Identity(status.st_uid, status.st_gid, (status.st_gid,))


def run_as(
    identity: Identity,
    function: Callable[[], T],
    *,
    keep: Sequence[int] = (),
    raises: Sequence[type[Exception]] = (),
) -> T:
    """Call `function` in a child process that has given up root for `identity`, and return its result.

    The result must be JSON. Of the open files, the child has standard streams and the descriptors `keep` only. It is
    killed when this thread ends. An exception is raised here as the class of `raises` with its name and its message,
    any other one as OSError. Where there is nothing to give up, the function is called in this process.
    """
    if identity.is_ours:
        return function()
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _answer(identity, function, {*keep, writer}, writer, parent)
    os.close(writer)
    try:
        answer = _read(reader)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(reader)
        _, status = os.waitpid(child, 0)
    if not answer:
        raise OSError(f"a child process ended unexpectedly ({os.waitstatus_to_exitcode(status)})")
    if "fault" in answer:
        classes = {one.__name__: one for one in raises}
        raise classes.get(answer["fault"], OSError)(answer["message"])
    result: T = answer["result"]
    return result


def _answer(identity: Identity, function: Callable[[], object], keep: set[int], writer: int, parent: int) -> NoReturn:
    """The child: writes what the function returns or raises to the pipe, and ends without any cleaning up."""
    try:
        _close_all_but(keep)
        identity.assume()
        # After the change of the user, which resets it. The parent may have ended before this line.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        answer: dict[str, Any] = {"result": function()}
    except BaseException as error:
        text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        answer = {"fault": type(error).__name__, "message": text[:10_000]}
    try:
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)


def _close_all_but(keep: set[int]) -> None:
    for descriptor in sorted(int(path.name) for path in Path("/proc/self/fd").iterdir()):
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue


def _read(reader: int) -> dict[str, Any]:
    """What the child answered; empty when it ended without an answer, or with one that is not ours."""
    data = b""
    while chunk := os.read(reader, 65_536):
        data += chunk
        if len(data) > _LARGEST_RESULT:
            return {}
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.keys() & {"result", "fault"} else {}
