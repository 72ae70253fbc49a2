"""The whole server: an engine with its commands, which starts as srcds starts."""

from __future__ import annotations

import contextlib
import os
import sys

from .commands import EngineCommands
from .controls import Controls
from .engine import Engine
from .moderation import ModerationCommands
from .sourcemod import SourceModCommands, is_installed


def build(argv: list[str], environment: dict[str, str]) -> Engine:
    engine = Engine(argv, environment)
    for group in (EngineCommands, ModerationCommands, Controls):
        engine.console.add(group(engine))
    if is_installed():
        engine.console.add(SourceModCommands(engine))
    return engine


def main() -> int:
    # A listing of processes shows the real game's name.
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as name:
        name.write("srcds_linux")
    return build(sys.argv[1:], dict(os.environ)).run()
