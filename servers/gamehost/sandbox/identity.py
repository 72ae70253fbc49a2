"""The user that the game runs as, and the ownership of its layers as it sees it.

Started by an ordinary user, the game is that user inside a user namespace that maps nobody else. Started by
root, it gets a user id of its own, which no account has; the kernel then shows the layers, which belong to root,
as that user's (id-mapped mounts), so that the game may change its copy of them and nothing else.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Final

from servers.gamehost.sandbox import kernel

# systemd and its kin leave 1878982657-2147483646 unused.
FIRST_GAME_UID: Final = 1_900_000_000


@dataclass(frozen=True, kw_only=True)
class Identity:
    uid: int
    gid: int
    by_root: bool


def of(server_id: int) -> Identity:
    if os.geteuid() == 0:
        own = FIRST_GAME_UID + server_id
        return Identity(uid=own, gid=own, by_root=True)
    return Identity(uid=os.getuid(), gid=os.getgid(), by_root=False)


def shifting_namespace(who: Identity) -> int:
    """A user namespace, as an open file, in which the caller's files belong to `who`."""
    ready, entered = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(entered, b"1")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(entered)
        if os.read(ready, 1) != b"1":
            raise OSError(1, "the kernel does not allow user namespaces")
        write_map(pid, "uid_map", f"{os.geteuid()} {who.uid} 1")
        write_map(pid, "gid_map", f"{os.getegid()} {who.gid} 1")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def enter_user_namespace(who: Identity) -> None:
    """Enter a user namespace as the same user, with all capabilities over its own objects and none over others."""
    kernel.unshare(kernel.CLONE_NEWUSER)
    write_map("self", "setgroups", "deny")
    write_map("self", "uid_map", f"{who.uid} {who.uid} 1")
    write_map("self", "gid_map", f"{who.gid} {who.gid} 1")
    try:
        with open("/proc/sys/user/max_user_namespaces", "w") as limit:  # noqa: PTH123 -- one write, no reading
            limit.write("0")
    except OSError:
        pass  # read-only /proc/sys in a hardened unit; the system-call filter refuses the same


def write_map(pid: int | str, name: str, text: str) -> None:
    fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def become(who: Identity) -> None:
    """Become `who` permanently, with no capability and no way to gain one."""
    if who.by_root:
        os.setgroups([])
        os.setresgid(who.gid, who.gid, who.gid)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        # The bounding set needs capabilities to be emptied, so it goes before the user id.
        kernel.empty_bounding_set()
        os.setresuid(who.uid, who.uid, who.uid)
    else:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.empty_bounding_set()
    kernel.drop_capabilities()
