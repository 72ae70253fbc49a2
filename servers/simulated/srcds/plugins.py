"""SourceMod's plugins in a tree that has SourceMod: `sm version`, `sm plugins` and `meta list`, as it prints them.

Plugins are loaded in the order in which the folder lists them. One that needs a plugin or an extension that is not
there fails, and the error is written where SourceMod writes it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib

from .grammar import Command, split_commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .engine import Engine

VERSION = "1.12.0.7210"
METAMOD = "1.12.0-dev+1219"
_ROOT = "left4dead2/addons/sourcemod"
_PLUGINS = f"{_ROOT}/plugins"
_LARGEST = 8_000_000
# SourceMod writes a line of the list into a buffer of so many bytes.
_LINE = 255


class Plugin:
    """One that was loaded, or that could not be: then `error` says why."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = self.version = self.author = self.description = self.url = self.error = ""
        self.plugins: list[str] = []
        self.extensions: list[tuple[str, str]] = []
        try:
            with open(f"{_PLUGINS}/{path}", "rb") as file:
                self._read(_unpacked(file.read(_LARGEST)))
        except OSError:
            self.error = "Unable to open file"
        except (ValueError, struct.error, zlib.error, KeyError):
            self.error = "Unable to load plugin (unrecognized file format)"

    def _read(self, image: bytes) -> None:
        sections = {}
        count, names = image[15], _number(image, 16)
        for at in range(24, 24 + 12 * count, 12):
            name, start, size = struct.unpack_from("<III", image, at)
            sections[_text(image, names + name)] = image[start : start + size]
        start = _number(sections[".data"], 8)
        data, variables = sections[".data"][start:], sections[".pubvars"]
        for at in range(0, len(variables) - 7, 8):
            place, name = struct.unpack_from("<II", variables, at)
            self._take(_text(sections[".names"], name), data, place)

    def _take(self, variable: str, data: bytes, place: int) -> None:
        cells = [_number(data, at) for at in range(place, min(place + 20, len(data) - 3), 4)]
        if variable == "myinfo":
            texts = [_text(data, cell) for cell in cells]
            self.name, self.description, self.author, self.version, self.url = texts
        elif variable.startswith("__pl_") and cells[2] and _text(data, cells[1]) != os.path.basename(self.path):
            self.plugins.append(_text(data, cells[1]))
        elif variable.startswith("__ext_") and cells[3]:
            self.extensions.append((_text(data, cells[0]), _text(data, cells[1])))

    @property
    def title(self) -> str:
        return self.name or self.path

    def listed(self, number: int, digits: int) -> str:
        line = f'  {number:0{digits}d}{" <Failed>" if self.error else ""} "{self.title}"'
        line += f" ({self.version})" if self.version else ""
        line += f" by {self.author}" if self.author else ""
        return line.encode()[:_LINE].decode("utf-8", "ignore") + "\n"


def _number(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _text(data: bytes, at: int) -> str:
    return data[at:].partition(b"\0")[0].decode("utf-8", "replace")


def _unpacked(raw: bytes) -> bytes:
    magic, _version, compression, disk_size, size, _count, _names, start = struct.unpack_from("<IHBIIBII", raw)
    if magic != 0x53504646 or size > _LARGEST:
        raise ValueError("no plugin")
    return raw[:start] + zlib.decompressobj().decompress(raw[start:disk_size], size) if compression else raw


class PluginCommands:
    """sm and meta."""

    def __init__(self, engine: Engine) -> None:
        self._log = engine.log
        self._clock = engine.timers
        self._world = engine.world
        self._plugins: list[Plugin] = []
        self._has_session = False
        for path in _found(""):
            self._plugins.append(Plugin(path))
        for plugin in self._plugins:
            self._require(plugin)
        self._console = engine.console
        engine.after_configs = self._execute_configs

    def _execute_configs(self) -> None:
        """Execute the cfg file of each plugin, as after every map load; what it sets is a variable of the plugin."""
        for plugin in self._plugins:
            base = os.path.basename(plugin.path).removesuffix(".smx")
            for name in (f"plugin.{base}", base):
                self._execute_config(f"sourcemod/{name}.cfg")

    def _execute_config(self, name: str) -> None:
        with contextlib.suppress(OSError), open(f"left4dead2/cfg/{name}", encoding="utf-8") as file:
            for line in split_commands(file.read()):
                self._console.cvars.make(Command(line).name, "")
            self._console.exec_file(name, quiet=True)

    def do_meta(self, command: Command) -> None:
        if command.args[:1] != ["list"]:
            self._log.print(f"Metamod:Source Version: {METAMOD}\n")
            return
        self._log.print(f"Listing 1 plugin:\n  [01] SourceMod ({VERSION}) by AlliedModders LLC\n")

    def do_sm(self, command: Command) -> None:
        area, verb, *rest = [*command.args, "", ""]
        if area == "version":
            self._log.print(
                "  SourceMod Version Information:\n"
                f"    SourceMod Version: {VERSION}\n    SourcePawn Engine: {VERSION}, jit-x86 (build {VERSION})\n"
                "    http://www.sourcemod.net/\n"
            )
        elif area == "plugins" and verb in {"list", "info", "load", "unload", "reload"}:
            getattr(self, f"_{verb}")(rest[0] if rest else "")
        else:
            self._log.print("SourceMod Menu:\nUsage: sm <command> [arguments]\n")

    def _list(self, _name: str) -> None:
        if not self._plugins:
            self._log.print("[SM] No plugins loaded\n")
            return
        count = len(self._plugins)
        lines = [f"[SM] Listing {count} plugin{'s' if count > 1 else ''}:\n"]
        lines += [plugin.listed(number, max(2, len(str(count)))) for number, plugin in enumerate(self._plugins, 1)]
        failed = [plugin for plugin in self._plugins if plugin.error]
        lines += ["Errors:\n"] if failed else []
        lines += [f"{each.path}{f' ({each.name})' if each.name else ''}: {each.error}\n" for each in failed]
        self._log.print("".join(lines))

    def _info(self, name: str) -> None:
        plugin = self._find(name)
        if plugin is None:
            return
        title = f"{plugin.name} ({plugin.description})" if plugin.description else plugin.name
        state = f"  Error: {plugin.error}" if plugin.error else "  Status: running"
        self._log.print(
            f"  Filename: {plugin.path}\n  Title: {title}\n  Author: {plugin.author}\n"
            f"  Version: {plugin.version}\n{state}\n"
        )

    def _load(self, name: str) -> None:
        path = _with_suffix(name)
        known = next((plugin for plugin in self._plugins if plugin.path == path), None)
        if known is not None and not known.error:
            self._log.print(f"[SM] Plugin {path} is already loaded.\n")
            return
        if known is not None:
            self._plugins.remove(known)
        plugin = self._made(path)
        if plugin.error:
            self._log.print(f"[SM] Plugin {path} failed to load: {plugin.error}.\n")
            return
        self._plugins.append(plugin)
        self._log.print(f"[SM] Loaded plugin {path} successfully.\n")

    def _unload(self, name: str) -> None:
        if plugin := self._find(name):
            self._plugins.remove(plugin)
            self._log.print(f"[SM] Plugin {plugin.title} unloaded successfully.\n")

    def _reload(self, name: str) -> None:
        if old := self._find(name):
            plugin = self._made(old.path)
            if plugin.error:
                self._plugins.remove(old)
                self._log.print(f"[SM] Plugin {old.path} failed to reload: {plugin.error}.\n")
                return
            self._plugins[self._plugins.index(old)] = plugin
            self._log.print(f"[SM] Plugin {old.title} reloaded successfully.\n")

    def _made(self, path: str) -> Plugin:
        plugin = Plugin(path)
        self._require(plugin)
        return plugin

    def _find(self, name: str) -> Plugin | None:
        if name.isdigit():
            if 1 <= int(name) <= len(self._plugins):
                return self._plugins[int(name) - 1]
            self._log.print(f"[SM] Plugin index {name} not found.\n")
            return None
        path = _with_suffix(name)
        found = next((plugin for plugin in self._plugins if plugin.path == path), None)
        if found is None:
            self._log.print(f"[SM] Plugin {path} is not loaded.\n")
        return found

    def _require(self, plugin: Plugin) -> None:
        """Note an error when something is missing that the plugin needs."""
        if plugin.error:
            self._log_error(f'[SM] Failed to load plugin "{plugin.path}": {plugin.error}.')
            return
        files = {os.path.basename(each.path) for each in self._plugins}
        for title, file in plugin.extensions:
            if not _has_extension(file):
                plugin.error = f'Required extension "{title}" file("{file}") not running'
        for file in plugin.plugins:
            if file not in files:
                plugin.error = plugin.error or f'Could not find required plugin "{file.partition(".")[0]}"'
        if plugin.error:
            self._log_error(f'[SM] Unable to load plugin "{plugin.path}": {plugin.error}')

    def _log_error(self, text: str) -> None:
        now = time.gmtime(self._clock.clock.wall(self._clock.now()))
        stamp, path = time.strftime("%m/%d/%Y - %H:%M:%S", now), time.strftime("errors_%Y%m%d.log", now)
        lines = [] if self._has_session else ["SourceMod error session started", f'Info (map "{self._world.map}")']
        self._has_session = True
        with contextlib.suppress(OSError):
            os.makedirs(f"{_ROOT}/logs", exist_ok=True)
            with open(f"{_ROOT}/logs/{path}", "a", encoding="utf-8") as file:
                file.write("".join(f"L {stamp}: {line}\n" for line in [*lines, text]))
        self._log.print(f"L {stamp}: {text}\n")


def _with_suffix(name: str) -> str:
    return name if "." in os.path.basename(name) else f"{name}.smx"


def _has_extension(file: str) -> bool:
    try:
        return any(name.startswith(f"{file}.") for name in os.listdir(f"{_ROOT}/extensions"))
    except OSError:
        return False


def _found(below: str) -> Iterator[str]:
    try:
        with os.scandir(f"{_PLUGINS}/{below}") as entries:
            for entry in entries:
                if entry.is_dir() and entry.name not in {"disabled", "optional"}:
                    yield from _found(f"{below}{entry.name}/")
                elif entry.is_file() and entry.name.endswith(".smx"):
                    yield below + entry.name
    except OSError:
        return
