"""Runs a command as root of a user namespace, who is none of the users outside: user_namespace.py COMMAND...

Its users 0 to 65535 are 100000 to 165535 outside, as Debian gives them to a user for rootless containers. Its home is
empty: programs that look into /root find nothing there, where the home of the root outside would be closed to them.
"""

import ctypes
import os
import sys

FIRST, COUNT = 100_000, 65_536
NEW_USERS_AND_MOUNTS = 0x10000000 | 0x00020000


def main(argv):
    is_apart, may_go_on = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None)
        if libc.unshare(NEW_USERS_AND_MOUNTS) != 0:
            os._exit(99)
        os.write(is_apart[1], b".")
        os.read(may_go_on[0], 1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        if libc.mount(b"none", b"/root", b"tmpfs", 0, b"mode=700") != 0:
            os._exit(98)
        os.execvp(argv[0], argv)  # noqa: S606 -- a list of arguments, no shell
    os.close(is_apart[1])
    # Nothing is read when the child could not be set apart.
    if os.read(is_apart[0], 1):
        for kind in ("uid", "gid"):
            with open(f"/proc/{child}/{kind}_map", "w") as map_of_users:
                map_of_users.write(f"0 {FIRST} {COUNT}\n")
        os.write(may_go_on[1], b".")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
