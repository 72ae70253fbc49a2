"""The whole server: an engine with its commands, which starts as srcds starts."""

from __future__ import annotations

import contextlib
import os
import sys

from . import competitive
from .commands import EngineCommands
from .controls import Controls
from .engine import Engine
from .moderation import ModerationCommands
from .plugins import PluginCommands
from .sourcemod import SourceModCommands, is_installed
from .sourcetv import SourceTvCommands


def build(argv: list[str], environment: dict[str, str]) -> Engine:
    engine = Engine(argv, environment)
    for group in (EngineCommands, ModerationCommands, Controls):
        engine.console.add(group(engine))
    engine.console.add(SourceTvCommands(engine.source_tv, engine.log))
    if is_installed():
        engine.console.add(SourceModCommands(engine))
        engine.console.add(PluginCommands(engine))
        if competitive.is_installed():
            engine.console.add(competitive.CompetitiveCommands(engine))
    return engine


def main() -> int:
    # A listing of processes shows the real game's name.
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as name:
        name.write("srcds_linux")
    return build(sys.argv[1:], dict(os.environ)).run()
