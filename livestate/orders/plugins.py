"""Loads, unloads and reloads a SourceMod plugin of a running game, and verifies it by the list of its plugins."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Final

from django.utils.translation import gettext_lazy as _

from livestate.orders.commands import Ask, Outcome, Pause, Result
from overlays.plugins.finder import Plugin
from servers.gamehost import rcon
from servers.plugins import console
from servers.plugins.console import Loaded, NoSourceMod

CHECKS: Final = 4
PAUSE_SECONDS: Final = 0.5
# What a console line can name in quotes, below the folder of plugins.
_PATH: Final = re.compile(r"(?:[^\"\\/;\x00-\x1f\x7f]+/)*[^\"\\/;\x00-\x1f\x7f]+\.smx")
_LONGEST: Final = 200
_REASON: Final = re.compile(r"failed to (?:re)?load: (.+?)\.?\s*$", re.MULTILINE)


def is_path(value: str) -> bool:
    """Whether a text can name a plugin in a command."""
    return bool(_PATH.fullmatch(value)) and len(value) <= _LONGEST and ".." not in value.split("/")


def load(ask: Ask, path: str, plugins: Sequence[Plugin], *, pause: Pause = time.sleep) -> Outcome:
    output = ask(f'sm plugins load "{path}"')
    return _verify(ask, path, plugins, output, pause, wanted=_runs)


def unload(ask: Ask, path: str, plugins: Sequence[Plugin], *, pause: Pause = time.sleep) -> Outcome:
    if refusal := _refuse_needed(ask, path, plugins):
        return refusal
    output = ask(f'sm plugins unload "{path}"')
    return _verify(ask, path, plugins, output, pause, wanted=lambda loaded: loaded is None)


def reload(ask: Ask, path: str, plugins: Sequence[Plugin], *, pause: Pause = time.sleep) -> Outcome:
    if refusal := _refuse_needed(ask, path, plugins):
        return refusal
    output = ask(f'sm plugins reload "{path}"')
    return _verify(ask, path, plugins, output, pause, wanted=_runs)


def _runs(loaded: Loaded | None) -> bool:
    return loaded is not None and loaded.is_running


def _refuse_needed(ask: Ask, path: str, plugins: Sequence[Plugin]) -> Outcome | None:
    """SourceMod stops the plugins that need one which is unloaded, also for a reload."""
    try:
        loaded = console.read(ask, plugins)
    except NoSourceMod as answer:
        return Outcome(Result.FAILED, str(answer), _("The game does not run SourceMod."))
    if path not in loaded:
        return Outcome(Result.FAILED, note=_("This plugin is not loaded."))
    file = path.rpartition("/")[2]
    others = [each.title for each in plugins if each.path != path and file in each.info.plugins]
    running = [each.title for each in plugins if each.title in others and _runs(loaded.get(each.path))]
    if not running:
        return None
    note = _("Plugins that run need this one: %(names)s. Restart the server instead.")
    return Outcome(Result.FAILED, note=str(note) % {"names": ", ".join(running[:10])})


def _verify(
    ask: Ask,
    path: str,
    plugins: Sequence[Plugin],
    output: str,
    pause: Pause,
    *,
    wanted: Callable[[Loaded | None], bool],
) -> Outcome:
    if reason := _REASON.search(output):
        return Outcome(Result.FAILED, output, reason[1][:300])
    loaded: Loaded | None = None
    for check in range(CHECKS):
        if check:
            pause(PAUSE_SECONDS)  # SourceMod may put it off to the next frame
        try:
            loaded = console.read(ask, plugins).get(path)
        except NoSourceMod:
            return Outcome(Result.FAILED, output, _("The game does not run SourceMod."))
        except rcon.RconError:
            continue
        if wanted(loaded):
            return Outcome(Result.DONE, output, _("Confirmed by the list of plugins."))
    note = loaded.error if loaded is not None and loaded.error else _("The list of plugins shows no change.")
    return Outcome(Result.UNCERTAIN, output, note)
