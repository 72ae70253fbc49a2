"""Command lines that run a program on untrusted input: resource limits, a read-only system, few writable paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SYSTEM_LINKS = {"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the program may use; `memory` is the address space of each of its processes, in bytes."""

    memory: int
    largest_file: int
    processes: int | None = None
    temporary: int | None = None  # bytes of its /tmp


@dataclass(frozen=True, kw_only=True)
class Binds:
    """What of this machine the program sees beside /usr: paths inside the sandbox, and what is shown there."""

    read_only: Mapping[str, Path] = field(default_factory=dict)
    read_only_if_there: Sequence[str] = ()
    writable: Mapping[str, Path] = field(default_factory=dict)


def argv(
    command: Sequence[str],
    *,
    limits: Limits,
    binds: Binds,
    network: bool,
    environment: Mapping[str, str] | None = None,
    directory: str = "/",
) -> list[str | Path]:
    """The command line that runs `command` as user 1000 without privileges, with `environment` and LANG only.

    Needs bubblewrap and util-linux. The exit status is that of `command`, or 1 with a line from bwrap.
    """
    nproc = [] if limits.processes is None else [f"--nproc={limits.processes}"]
    size = [] if limits.temporary is None else ["--size", str(limits.temporary)]
    variables = {"LANG": "C.UTF-8", **(environment or {})}
    return [
        *("prlimit", f"--as={limits.memory}", *nproc, f"--fsize={limits.largest_file}", "--core=0"),
        # bubblewrap's own --unshare-net needs a netlink socket, which the worker's unit refuses.
        *(() if network else ("unshare", "--user", "--map-current-user", "--net")),
        # Namespaces one by one: the worker's unit allows these kinds and no others.
        *("bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent", "--new-session"),
        *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--clearenv"),
        *(word for name, value in variables.items() for word in ("--setenv", name, value)),
        *("--ro-bind", "/usr", "/usr"),
        *(word for path, target in _SYSTEM_LINKS.items() for word in ("--symlink", target, path)),
        *(word for path in binds.read_only_if_there for word in ("--ro-bind-try", path, path)),
        *("--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/tmp"),  # noqa: S108 -- the sandbox's own
        *(word for path, source in binds.read_only.items() for word in ("--ro-bind", source, path)),
        *(word for path, source in binds.writable.items() for word in ("--bind", source, path)),
        *("--chdir", directory, *command),
    ]
