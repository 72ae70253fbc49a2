"""`bin/up` as a process of a bench, on a data directory and a port that the bench gives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_LONGEST_SECONDS = 180


@dataclass(frozen=True)
class Up:
    process: subprocess.Popen[bytes]
    url: str
    first_page: float  # seconds until a page was answered with 200
    ready: float  # seconds until /ready was, too: then the worker takes jobs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(root: Path) -> Iterator[Up]:
    """Run `bin/up` on the data directory; it has ended, and with it all that it started, when the block has."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "LEFT4ME_ROOT": str(root), "LEFT4ME_BIND": url.removeprefix("http://")}
    began = time.monotonic()
    process = subprocess.Popen([REPOSITORY / "bin" / "up"], env=environment, stdout=subprocess.DEVNULL)
    try:
        first_page = _answered(process, f"{url}/", began)
        yield Up(process, url, first_page, _answered(process, f"{url}/ready", began))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _answered(process: subprocess.Popen[bytes], url: str, began: float) -> float:
    """Ask until the answer is 200; return the seconds since `began`."""
    while True:
        try:
            # An error page is an exception here, and what leads to the sign-in is followed.
            urllib.request.urlopen(url, timeout=5).close()
            return time.monotonic() - began
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"bin/up ended with status {process.returncode}") from None
            if time.monotonic() - began > _LONGEST_SECONDS:
                raise SystemExit(f"{url} did not answer within {_LONGEST_SECONDS} s") from None
            time.sleep(0.02)
