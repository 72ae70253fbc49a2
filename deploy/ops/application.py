"""The installed application: running its commands as its user, and checking that it is ready."""

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

from deploy.language import gettext as _
from deploy.ops import environment
from deploy.ops.layout import USER, Layout, Role
from deploy.ops.machine import services
from left4me.core.processes import commands, identity
from left4me.core.redis import keys

_ANSWER_SECONDS: Final = 20.0
_LOOK_EVERY: Final = 0.25
# A worker that cannot work ends within its first seconds.
_WATCH_WORKER_SECONDS: Final = 8.0


def manage(
    layout: Layout,
    *arguments: str,
    release: Path | None = None,
    settings: Mapping[str, str] | None = None,
    timeout: float = 600,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
) -> commands.Finished:
    """Run `manage.py` of a release (default: the current one) as the application's user, with its settings.

    `settings` are used instead of those of the same names. Raises CommandError.
    """
    tree = (release or layout.current).resolve()
    argv: list[str | Path] = [tree / ".venv/bin/python", tree / "manage.py", *arguments]
    user = account()
    return commands.run(
        argv if user is None else ["/usr/bin/setpriv", "--no-new-privs", "--", *argv],
        cwd=tree,
        env={**surroundings(layout), **(settings or {})},
        identity=user,
        timeout=timeout,
        on_line=on_line,
        check=check,
    )


def become_manage(layout: Layout, arguments: list[str]) -> NoReturn:
    """Replace this process by `manage.py`."""
    tree = layout.current.resolve()
    argv = [str(tree / ".venv/bin/python"), str(tree / "manage.py"), *arguments]
    os.chdir(tree)
    # Of this process's environment, only the variables about the terminal are passed on.
    terminal = {name: os.environ[name] for name in ("TERM", "NO_COLOR", "COLUMNS") if name in os.environ}
    variables = {**terminal, **surroundings(layout)}
    if (user := account()) is not None:
        user.assume()
    os.execve(argv[0], argv, variables)  # noqa: S606 -- a list of arguments, no shell


def account() -> identity.Identity | None:
    """The application's user, for whom root is given up before any setting has an effect; None without root."""
    return identity.of_user(USER) if os.geteuid() == 0 else None


def surroundings(layout: Layout) -> dict[str, str]:
    """The environment variables of the application's processes."""
    home = {"HOME": str(layout.data), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    return {**home, "PYTHONDONTWRITEBYTECODE": "1", "LEFT4ME_ROOT": str(layout.data), **environment.read(layout)}


def owner() -> tuple[int, int]:
    """User id and group id that own the application's data."""
    entry = pwd.getpwnam(USER)
    return entry.pw_uid, entry.pw_gid


def forget_pulse(layout: Layout) -> None:
    """Delete the last pulse, so that `/ready` waits for one of the worker that is about to start."""
    split = urlsplit(environment.read(layout).get("REDIS_URL", ""))
    if split.scheme != "unix":
        return
    # Redis has a password once other hosts can reach it.
    login = f"AUTH {unquote(split.password)}\r\n" if split.password else ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(split.path)
            client.sendall(f"{login}DEL {keys.PULSE}\r\n".encode())
            client.recv(64)
        except OSError:
            # /ready reports by itself that Redis does not answer.
            return


def unready(layout: Layout) -> str:
    """Why the application is not ready, as a message; empty when it is.

    The web answers `/ready`. A worker host has no web: there the worker must run.
    """
    if services.role(layout) is Role.WORKER_HOST:
        return "" if services.are_active([services.WORKER]) else _("the worker is not running")
    values = environment.read(layout)
    host, _colon, port = (values.get("LEFT4ME_BIND") or "127.0.0.1:8000").rpartition(":")
    return not_ready(reachable(host), int(port), known_as=known_host(values), seconds=_ANSWER_SECONDS)


def not_ready(host: str, port: int, *, known_as: str, seconds: float) -> str:
    """Why `/ready` does not answer with 200, as a message; empty when it does.

    `known_as` is a host name that the application accepts, because not every address it listens on is one.
    """
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/ready", headers={"Host": known_as})
        answer = connection.getresponse()
        body = answer.read(65536)
    except (OSError, http.client.HTTPException) as error:
        return _("the web does not respond (%(error)s)") % {"error": error or type(error).__name__}
    finally:
        connection.close()
    if answer.status == 200:
        return ""
    return _faults(body) or _("/ready answered %(status)s") % {"status": answer.status}


def reachable(host: str) -> str:
    """An address at which a socket bound to `host` can be reached on this machine."""
    bare = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare)  # noqa: S104 -- compared, not bound


def known_host(values: Mapping[str, str]) -> str:
    """A host name that the web accepts requests for."""
    names = [name.strip() for name in values.get("LEFT4ME_ALLOWED_HOSTS", "").split(",") if name.strip()]
    return names[0].lstrip(".") if names else "127.0.0.1"


def _faults(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        return "; ".join(f"{name}: {why}" for name, why in checks.items() if why != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def wait_until_ready(layout: Layout, *, seconds: float) -> str:
    """Wait until the application is ready; returns "" then, else the reason why it was not within `seconds`."""
    if services.role(layout) is Role.WORKER_HOST:
        return _watch_worker(layout)
    deadline = time.monotonic() + seconds
    while True:
        why = unready(layout)
        # The answer itself may take long: connections wait in the socket until the web accepts them.
        if time.monotonic() > deadline:
            return why or _("it was not ready in time")
        if not why:
            return ""
        time.sleep(_LOOK_EVERY)


def _watch_worker(layout: Layout) -> str:
    """Why the worker ended in the first seconds after its start; empty when it did not."""
    deadline = time.monotonic() + _WATCH_WORKER_SECONDS
    while time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY)
        if why := unready(layout):
            return why
    return ""
