"""An upload and a download that are under way while an upgrade exchanges the web, whose socket systemd would hold."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from left4me.testing.whole import REPOSITORY, clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PASSWORD = "a long passphrase"
MAKE_AN_OVERLAY = """
from accounts.models import User
from overlays.models import Overlay
from overlays import paths
overlay = Overlay.objects.create(name="Big", kind="files", owner=User.objects.get(), path="1")
folder = paths.directory(overlay)
folder.mkdir(parents=True)
print(overlay.pk, folder)
"""
# More than what the kernel keeps for a reader who has stopped reading.
LARGE = 48 * 1024 * 1024
HALF = 1024 * 1024


class Web:
    """`left4me.web` in two processes on a listening socket that outlives it, and one visitor of it."""

    def __init__(self, root: Path, redis: Path) -> None:
        own = {"LEFT4ME_ROOT": str(root), "REDIS_URL": f"unix://{redis}", "PYTHONWARNINGS": "ignore"}
        own["LEFT4ME_WEB_PROCESSES"] = "2"
        self._env = clean_environment() | own
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._process: subprocess.Popen[bytes] | None = None
        self.cookies: dict[str, str] = {}
        self.token = ""

    def start(self) -> None:
        held = self._socket.fileno()
        argv = [sys.executable, "-m", "left4me.web", str(held)]
        self._process = subprocess.Popen(argv, env=self._env, cwd=REPOSITORY, pass_fds=[held])

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(15) is not None, "the unit would be killed now"

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._socket.close()

    def manage(self, *arguments: str, said: str = "") -> str:
        argv = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            argv, env=self._env, cwd=REPOSITORY, input=said, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._socket.getsockname(), timeout=60)

    def headers(self) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Host": "localhost", "Cookie": cookie, "X-CSRFToken": self.token}

    def ask(
        self, method: str, path: str, body: bytes | str = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connection()
        connection.request(method, path, body or None, {**self.headers(), **headers})
        answer = connection.getresponse()
        content = answer.read()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, content

    def sign_in(self) -> None:
        self.token = self._token()
        form = {"username": "anna", "password": PASSWORD, "csrfmiddlewaretoken": self.token}
        form_type = "application/x-www-form-urlencoded"
        assert self.ask("POST", "/accounts/login/", urlencode(form), **{"Content-Type": form_type})[0] == 302
        self.token = self.cookies["csrftoken"]

    def _token(self) -> str:
        found = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', self.ask("GET", "/accounts/login/")[2])
        assert found is not None
        return found[1].decode()


@pytest.fixture
def web(tmp_path: Path, collected_static: Path, migrated_database: Path, redis_server: Path) -> Iterator[Web]:
    shutil.copytree(collected_static, tmp_path / "static")
    shutil.copyfile(migrated_database, tmp_path / "left4me.sqlite3")
    (tmp_path / "secret_key").write_text("x" * 50)
    web = Web(tmp_path, redis_server)
    try:
        web.manage("create_user", "anna", "--admin", "--password-stdin", said=f"{PASSWORD}\n")
        yield web
    finally:
        web.close()


def test_transfers_go_on_where_an_upgrade_cut_them_off(web: Web):
    overlay, folder = web.manage("shell", "-v0", "-c", MAKE_AN_OVERLAY).split()
    content = os.urandom(LARGE)
    Path(folder, "large.bin").write_bytes(content)
    web.start()
    web.sign_in()

    download = f"/overlays/{overlay}/files/download?path=large.bin"
    reading = web.connection()
    reading.request("GET", download, headers=web.headers())
    answer = reading.getresponse()
    taken = answer.read(HALF)

    begun = {"name": "sent.bin", "folder": "", "size": 2 * HALF, "unpack": False}
    upload = json.loads(web.ask("POST", f"/overlays/{overlay}/uploads", json.dumps(begun))[2])
    path = f"/overlays/{overlay}/uploads/{upload['id']}"
    writing = web.connection()
    writing.putrequest("POST", f"{path}?offset=0", skip_host=True)
    for name, value in {**web.headers(), "Content-Length": str(2 * HALF)}.items():
        writing.putheader(name, value)
    writing.endheaders(content[:HALF])

    web.stop()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        while piece := answer.read(HALF):
            taken += piece
        raise ConnectionError("it ended early")
    reading.close()
    writing.close()
    assert len(taken) < LARGE
    web.start()

    rest = {"Range": f"bytes={len(taken)}-", "If-Range": answer.headers["ETag"]}
    status, headers, body = web.ask("GET", download, **rest)
    assert (status, headers["content-range"]) == (206, f"bytes {len(taken)}-{LARGE - 1}/{LARGE}")
    assert taken + body == content

    status, _, body = web.ask("POST", f"{path}?offset=0", content[: 2 * HALF])
    at = json.loads(body)["offset"]
    assert (status, at) == (409, HALF), "what had arrived is kept"
    assert web.ask("POST", f"{path}?offset={at}", content[at : 2 * HALF])[0] == 200
    assert web.ask("POST", f"{path}/finish")[0] == 202
    assert Path(folder, "sent.bin").read_bytes() == content[: 2 * HALF]
