"""The 32-bit stand-in for srcds: builds its tree, and knows what the sandbox grants it.

Run as a program inside the testhost it needs no compiler: the tree is built outside and copied there.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from left4me.core.processes import commands
from servers.gamehost import rcon
from servers.gamehost.sandbox import landlock
from servers.gamehost.spec import InstanceSpec
from servers.gamehost.tests.stage import Stage

HERE = Path(__file__).parent
# The tree inside the testhost.
BUILT: Final = "/srv/i386"
PASSWORD: Final = "thirty-two"
_CFG: Final = f'hostname "Thirty-two bits"\nrcon_password "{PASSWORD}"\n'
_COMPILE: Final = ("gcc", "-m32", "-O1", "-Wall", "-Werror")
_SHARED: Final = (*_COMPILE, "-shared")
_COMPILE_SECONDS: Final = 60

# What the sandbox refuses, and the answer; everything else is granted. Plain facts of Linux for an ordinary user stand
# beside the rules of the sandbox: a game that asks for a higher priority gets none anywhere.
REFUSED: Final = {
    "raise_priority": {"EACCES", "EPERM"},
    "core_dumps": {"EPERM"},
    "proc_other": {"EACCES", "ENOENT"},
    "sys_cpus": {"ENOENT"},
    "write_system": {"EROFS", "EACCES"},
    "raw_socket": {"EPERM"},
    "odd_socketcall": {"EAFNOSUPPORT"},
    "become_root": {"EPERM", "EINVAL"},
    "mount_something": {"EPERM"},
    "new_namespace": {"EPERM"},
    "change_root": {"EPERM"},
    "make_device": {"EPERM"},
    "io_ports": {"EPERM"},
    "kernel_log": {"EPERM"},
    "keyrings": {"EPERM"},
    "kernel_programs": {"EPERM"},
    "performance_events": {"EPERM"},
    "set_clock": {"EPERM"},
}
# Refused unless the blueprint lets crash reporters trace the game.
TRACING: Final = {"trace_me": {"EPERM"}, "tracer": {"EPERM"}, "read_own_memory": {"EPERM"}}
# What the hardened unit refuses beyond that.
ONLY_IN_A_UNIT: Final = dict.fromkeys(
    (
        *("affinity", "lower_priority", "lock_memory"),  # SystemCallFilter=~@resources
        *("read_personality", "set_personality"),  # LockPersonality=
        "local_descriptors",  # not in @system-service
    ),
    "EPERM",
)
# Refused where the kernel has Landlock's network rules.
REFUSED_PORTS: Final = {"other_tcp": {"EACCES"}, "to_foreign_port": {"EACCES"}}


def build(tree: Path) -> None:
    """Compile the program and its library into `tree`, which looks like an installed game. Raises CommandError."""
    for directory in ("bin", "left4dead2/cfg", ".steam/sdk32"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    program = [*_COMPILE, "-o", tree / "srcds_linux", HERE / "srcds_linux.c"]
    library = [*_SHARED, "-fno-pic", "-Wl,-z,notext", "-o", tree / "bin/dedicated_srv.so", HERE / "probes.c"]
    for argv in (program, library):
        commands.run(argv, timeout=_COMPILE_SECONDS)
    shutil.copy(HERE / "srcds_run", tree / "srcds_run")
    shutil.copy(tree / "bin/dedicated_srv.so", tree / ".steam/sdk32/steamclient.so")
    (tree / "left4dead2/cfg/valve.rc").write_text("stock\n")
    (tree / "left4dead2/steam.inf").write_text("PatchVersion=2.2.4.3\n")


def compile_library(source: str, target: Path, *linked: Path) -> None:
    """Compile one line of C; the `linked` libraries are found by their names. Raises CommandError."""
    to = (f"-Wl,-soname,{target.name}", "-o", target, f"-L{target.parent}")
    argv = [*_SHARED, "-fPIC", *to, "-x", "c", "-", "-x", "none", *(f"-l:{path.name}" for path in linked)]
    commands.run(argv, timeout=_COMPILE_SECONDS, stdin=source)


def lay(tree: Path, stage: Stage) -> None:
    """Copy a built tree into the game of `stage`; servers run as another user."""
    shutil.copytree(tree, stage.game, dirs_exist_ok=True)
    for path in (stage.game, *stage.game.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def spec(stage: Stage, **changes: Any) -> InstanceSpec:
    made = stage.spec(1, layers=(str(stage.game),), generated={"left4dead2/cfg/server.cfg": _CFG}, **changes)
    fixed = ("-game", "left4dead2", "-console", "-norestart", "-strictportbind", "-ip", "0.0.0.0")
    return replace(made, argv=("./srcds_run", *fixed, "-port", str(made.port), "+map", "c2m1_highway"))


def ask(spec: InstanceSpec, command: str) -> str:
    return rcon.execute("127.0.0.1", spec.port, PASSWORD, command, timeout=5, starting=True)


def answers(spec: InstanceSpec) -> bool:
    try:
        return "Thirty-two bits" in ask(spec, "status")
    except rcon.RconError:
        return False


def probes(lines: list[str]) -> dict[str, str]:
    """The result of each probe of the last start: `granted`, or the name of an error."""
    words = [line.split() for line in lines if line.startswith("probe ")]
    return {name: result for _, name, result in words}


def surprises(
    found: dict[str, str], *, ports_are_confined: bool | None = None, may_trace: bool = False
) -> dict[str, str]:
    """The results that differ from what the sandbox is meant to grant and to refuse."""
    confined = landlock.version() >= 4 if ports_are_confined is None else ports_are_confined
    refused = {**REFUSED, **({} if may_trace else TRACING), **(REFUSED_PORTS if confined else {})}
    return {name: result for name, result in found.items() if result not in refused.get(name, {"granted"})}
