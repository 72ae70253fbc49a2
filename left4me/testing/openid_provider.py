"""A real provider of OpenID Connect, oidc-provider-mock, as a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests


@dataclass(frozen=True)
class Registered:
    """The provider, and what it calls this site."""

    issuer: str
    client_id: str
    client_secret: str

    def authorize(self, address: str, subject: str) -> str:
        """Sign in there as `subject`; returns where the browser is sent back to."""
        answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=20)
        return answer.headers["Location"]


def query(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@contextlib.contextmanager
def running(redirect_uris: list[str]) -> Iterator[Registered]:
    """The provider, which takes registered clients only and asks them for a nonce."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    argv = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", f"--port={port}"]
    argv += ["--require-registration", "true", "--require-nonce", "true", "--user", "anna-there"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            issuer = f"http://127.0.0.1:{port}"
            _wait(issuer)
            asked = requests.post(f"{issuer}/oauth2/clients", json={"redirect_uris": redirect_uris}, timeout=20).json()
            yield Registered(issuer, asked["client_id"], asked["client_secret"])
        finally:
            process.kill()


def _wait(issuer: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            requests.get(f"{issuer}/.well-known/openid-configuration", timeout=20)
            return
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def use(settings: Any, provider: Registered) -> None:
    """Name it in the settings."""
    settings.LEFT4ME_OIDC_ISSUER = provider.issuer
    settings.LEFT4ME_OIDC_CLIENT_ID = provider.client_id
    settings.LEFT4ME_OIDC_CLIENT_SECRET = provider.client_secret
    settings.LEFT4ME_OIDC_NAME = "Example"
