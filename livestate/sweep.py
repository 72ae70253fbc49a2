"""A sweep of one host: reads which servers run, polls them, and records the results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from left4me.core import secrets
from livestate import whitelist
from livestate.figures.recorder import FigureRecorder
from livestate.models import Silence
from livestate.poller import Answered, Endpoint, PollingThread, Reason
from livestate.recorder import Recorder, WrittenByAnother
from servers.hosts import this_host
from servers.models import Host, Server
from servers.state import hangs

logger = logging.getLogger(__name__)

ENDED = (Server.State.STOPPED, Server.State.CRASHED, Server.State.GAVE_UP, Server.State.STARTING)


class Listener(Protocol):
    """Looks at what the games of a host have just answered; one for each host, which keeps what it likes to know."""

    def read(self, answers: Sequence[Answered], *, now: datetime) -> object: ...


_makers: list[Callable[[], Listener]] = []


def listen(make: Callable[[], Listener]) -> None:
    """Have a listener of every sweeper look at each sweep. Called once by an app's `ready`."""
    _makers.append(make)


class Sweeper:
    """Sweeps one host; keeps RCON connections and cached rows between sweeps."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._polling = PollingThread(
            timeout=settings.LEFT4ME_POLL_TIMEOUT_SECONDS, period=settings.LEFT4ME_POLL_SECONDS
        )
        self._recorder = Recorder(host_id=host.pk, gap=timedelta(seconds=settings.LEFT4ME_STUCK_SESSION_SECONDS))
        self._figures = FigureRecorder(host)
        self._listeners = [make() for make in _makers]
        self._passwords: dict[str, str] = {}

    def sweep(self) -> None:
        """Poll every running server of the host and record the results. Raises WrittenByAnother."""
        start = time.monotonic()
        if not self._recorder.begin(now=timezone.now()):
            self._figures.forget()
        endpoints = self._endpoints()
        answers: list[Answered] = []
        silent = 0
        # Servers that answer come in the first batches and are recorded while the silent ones are still waited for.
        for batch in self._polling.sweep(endpoints):
            self._recorder.record(batch, now=timezone.now())
            answered = [result for result in batch if isinstance(result, Answered)]
            answers += answered
            silent += len(batch) - len(answered)
        whitelist.enforce(answers, now=timezone.now())
        for listener in self._listeners:
            listener.read(answers, now=timezone.now())
        self._recorder.close_lost_stays(ended=self._ended(), now=timezone.now())
        self._figures.measure([endpoint.server_id for endpoint in endpoints], answers, now=timezone.now())
        try:
            with transaction.atomic():
                self._recorder.end(seconds=time.monotonic() - start, answered=len(answers), silent=silent)
                self._figures.write()
        except BaseException:
            # The transaction was rolled back, but the recorder has already dropped what it would have written.
            self._figures.forget()
            raise
        # A game that refuses a password or sends a garbled answer does not hang.
        silences = Silence.objects.filter(server__host=self._host, reason__in=[Reason.TIMED_OUT, Reason.UNREACHABLE])
        since = dict(silences.values_list("server_id", "since"))
        hangs.detect(self._host, silent=since, runtime=this_host.runtime(), now=timezone.now())

    def close(self) -> None:
        self._polling.close()

    def _endpoints(self) -> list[Endpoint]:
        servers = (
            Server.objects.filter(host=self._host)
            .running()
            # Their usual order is by name, which costs more than reading them.
            .order_by()
            .only("port", "started_at", "sealed_rcon_password", "applied_sealed_rcon_password")
        )
        passwords: dict[str, str] = {}
        endpoints = []
        for server in servers:
            sealed = server.applied_sealed_rcon_password or server.sealed_rcon_password
            try:
                # Cached between sweeps: decrypting a password costs more than polling the server.
                passwords[sealed] = self._passwords.get(sealed) or server.live_rcon_password
            except secrets.Unreadable as error:
                logger.warning("Server %s is not polled: %s", server.pk, error)
                continue
            if passwords[sealed]:
                endpoints.append(
                    Endpoint(server.pk, this_host.ADDRESS, server.port, passwords[sealed], server.started_at)
                )
        # Passwords that no server uses any more are dropped.
        self._passwords = passwords
        return endpoints

    def _ended(self) -> set[int]:
        """The servers of the host that do not run, so that nobody can be online there."""
        ended = Server.objects.filter(host=self._host, actual_state__in=ENDED)
        return set(ended.order_by().values_list("pk", flat=True))


_sweeping = threading.Lock()
_sweepers: dict[int, Sweeper] = {}


def sweep(host_name: str) -> bool:
    """Sweep the host that this process runs on. Returns False if the previous sweep is still running."""
    if not _sweeping.acquire(blocking=False):
        return False
    try:
        host = Host.objects.filter(name=host_name).first()
        if host is None:
            logger.warning("There is no host named %s to sweep", host_name)
            return True
        if host.pk not in _sweepers:
            _sweepers[host.pk] = Sweeper(host)
        _sweepers[host.pk].sweep()
    except WrittenByAnother:
        # Two workers with the same host name: the other one's rows are newer, so this sweep ends here.
        logger.warning("Another process also sweeps host %s; this sweep was abandoned", host_name)
    finally:
        _sweeping.release()
    return True


def close() -> None:
    """Close all connections, at the end of a process or of a test."""
    with _sweeping:
        while _sweepers:
            _sweepers.popitem()[1].close()
