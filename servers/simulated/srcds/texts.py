"""The texts that players are shown: read from files while a map loads, before any cfg is executed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cvars import Cvars
    from .log import Log

_GAME = "left4dead2"
_LARGEST = 2048
_NAMES = (("motdfile", "motd"), ("hostfile", "hostfile"))


def load(*, cvars: Cvars, log: Log) -> dict[str, bytes]:
    """The texts by name; one that is missing or too big is left out, and the log tells."""
    texts = {}
    for cvar, name in _NAMES:
        found = _read(cvars.text(cvar))
        if found is None:
            log.print(f"'cfg/{cvars.text(cvar)}' not found; not loaded\n")
        elif len(found[1]) > _LARGEST:
            log.print(f"'{found[0]}' is too big; not loaded\n")
        else:
            log.print(f"Set {name} from file '{found[0]}'.\n")
            texts[name] = found[1]
    return texts


def _read(file: str) -> tuple[str, bytes] | None:
    """The file's path and content, from the cfg folder or the one above."""
    if not file or ".." in file or file.startswith("/"):
        return None
    for path in (f"cfg/{file}", file):
        try:
            with open(f"{_GAME}/{path}", "rb") as stream:
                return path, stream.read(_LARGEST + 1)
        except OSError:
            continue
    return None
