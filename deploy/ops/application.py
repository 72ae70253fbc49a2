"""The application as `left4mectl` sees it: commands run as its user, and whether it answers."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import unquote, urlsplit

from deploy.ops import environment
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from left4me.core.processes import commands
from left4me.core.redis import keys

USER: Final = "left4me"

_ANSWER_SECONDS: Final = 20.0
_LOOK_EVERY: Final = 0.25


def manage(
    layout: Layout,
    *arguments: str,
    release: Path | None = None,
    timeout: float = 600,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
) -> commands.Finished:
    """`manage.py` of a release (the current one), as the application's user with its settings. Raises CommandError."""
    tree = (release or layout.current).resolve()
    return commands.run(
        [*as_user(), tree / ".venv/bin/python", tree / "manage.py", *arguments],
        cwd=tree,
        env=surroundings(layout),
        timeout=timeout,
        on_line=on_line,
        check=check,
    )


def become_manage(layout: Layout, arguments: list[str]) -> NoReturn:
    """Replace this process by `manage.py`."""
    tree = layout.current.resolve()
    argv = [*as_user(), str(tree / ".venv/bin/python"), str(tree / "manage.py"), *arguments]
    os.chdir(tree)
    # The terminal's kind is all that it needs of ours.
    kept = {name: os.environ[name] for name in ("TERM", "NO_COLOR", "COLUMNS") if name in os.environ}
    os.execvpe(argv[0], argv, {**kept, **surroundings(layout)})  # noqa: S606 -- a list of arguments, no shell


def as_user() -> list[str]:
    """What makes a command run as the application's user, when we are root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--no-new-privs", "--"]


def surroundings(layout: Layout) -> dict[str, str]:
    """The environment of the application's processes."""
    home = {"HOME": str(layout.data), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    return {**home, "PYTHONDONTWRITEBYTECODE": "1", "LEFT4ME_ROOT": str(layout.data), **environment.read(layout)}


def owner() -> tuple[int, int]:
    """User and group that the application's data belong to."""
    entry = pwd.getpwnam(USER)
    return entry.pw_uid, entry.pw_gid


def forget_pulse(layout: Layout) -> None:
    """Have `/ready` wait for a pulse of the worker that is about to start, not take the last one of the old."""
    split = urlsplit(environment.read(layout).get("REDIS_URL", ""))
    if split.scheme != "unix":
        return
    # It asks for a password once other hosts reach it too.
    login = f"AUTH {unquote(split.password)}\r\n" if split.password else ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(split.path)
            client.sendall(f"{login}DEL {keys.PULSE}\r\n".encode())
            client.recv(64)
        except OSError:
            # A Redis that does not answer is something that /ready says by itself.
            return


def unready(layout: Layout) -> str:
    """Why `/ready` is not content, in words; empty when it is. A second host has no web: there its worker must run."""
    if services.WEB not in services.of_this_machine(layout):
        return "" if services.are_active(layout, [services.WORKER]) else "the worker does not run"
    values = environment.read(layout)
    host, _, port = (values.get("LEFT4ME_BIND") or "127.0.0.1:8000").rpartition(":")
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host.strip("[]")  # noqa: S104 -- compared, not bound
    return not_ready(host, int(port), known_as=known_host(values), seconds=_ANSWER_SECONDS)


def not_ready(host: str, port: int, *, known_as: str, seconds: float) -> str:
    """Return why `/ready` does not answer 200, in words, or "" when it does.

    `known_as` is a host name that the application accepts, since not every address it listens on is one.
    """
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/ready", headers={"Host": known_as})
        answer = connection.getresponse()
        body = answer.read(65536)
    except (OSError, http.client.HTTPException) as error:
        return f"the web does not answer ({error or type(error).__name__})"
    finally:
        connection.close()
    if answer.status == 200:
        return ""
    return _faults(body) or f"/ready answered {answer.status}"


def known_host(values: Mapping[str, str]) -> str:
    named = [name.strip() for name in values.get("LEFT4ME_ALLOWED_HOSTS", "").split(",") if name.strip()]
    return named[0].lstrip(".") if named else "127.0.0.1"


def _faults(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        return "; ".join(f"{name}: {why}" for name, why in checks.items() if why != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def wait_until_ready(layout: Layout, *, seconds: float) -> str:
    """Wait until `/ready` is content; returns "" then, or why it was not after `seconds`."""
    deadline = time.monotonic() + seconds
    while why := unready(layout):
        if time.monotonic() > deadline:
            return why
        time.sleep(_LOOK_EVERY)
    return ""
