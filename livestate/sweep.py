"""One sweep of one host: read which servers run, ask them, write what they say."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from left4me.core import secrets
from livestate.models import Silence
from livestate.poller import Answered, Endpoint, PollingThread, Reason
from livestate.recorder import Recorder, WrittenByAnother
from servers.hosts import this_host
from servers.models import Host, Server
from servers.state import hangs

logger = logging.getLogger(__name__)

# RCON stays on the host: its worker asks over loopback.
ADDRESS = "127.0.0.1"
ENDED = (Server.State.STOPPED, Server.State.CRASHED, Server.State.GAVE_UP, Server.State.STARTING)


class Sweeper:
    """Keeps the connections to a host's servers and what is known of them, from sweep to sweep."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._polling = PollingThread(
            timeout=settings.LEFT4ME_POLL_TIMEOUT_SECONDS, period=settings.LEFT4ME_POLL_SECONDS
        )
        self._recorder = Recorder(host_id=host.pk, gap=timedelta(seconds=settings.LEFT4ME_STUCK_SESSION_SECONDS))
        self._passwords: dict[str, str] = {}

    def sweep(self) -> None:
        start = time.monotonic()
        self._recorder.begin(now=timezone.now())
        endpoints = self._endpoints()
        answered = silent = 0
        for batch in self._polling.sweep(endpoints):
            self._recorder.record(batch, now=timezone.now())
            heard = sum(isinstance(result, Answered) for result in batch)
            answered += heard
            silent += len(batch) - heard
        self._recorder.settle(ended=self._ended(), now=timezone.now())
        self._recorder.end(seconds=time.monotonic() - start, answered=answered, silent=silent)
        # A refused password or a garbled answer is no sign of a hang.
        unheard = Silence.objects.filter(server__host=self._host, reason__in=[Reason.TIMED_OUT, Reason.UNREACHABLE])
        since = dict(unheard.values_list("server_id", "since"))
        hangs.check(self._host, silent=since, runtime=this_host.runtime(), now=timezone.now())

    def close(self) -> None:
        self._polling.close()

    def _endpoints(self) -> list[Endpoint]:
        servers = (
            Server.objects.filter(host=self._host)
            .running()
            .only("port", "started_at", "sealed_rcon_password", "applied_sealed_rcon_password")
        )
        opened: dict[str, str] = {}
        endpoints = []
        for server in servers:
            sealed = server.applied_sealed_rcon_password or server.sealed_rcon_password
            try:
                # Opening a seal costs more than asking the server does.
                opened[sealed] = self._passwords.get(sealed) or server.live_rcon_password
            except secrets.Unreadable as error:
                logger.warning("Server %s is not polled: %s", server.pk, error)
                continue
            if opened[sealed]:
                endpoints.append(Endpoint(server.pk, ADDRESS, server.port, opened[sealed], server.started_at))
        self._passwords = opened
        return endpoints

    def _ended(self) -> set[int]:
        ended = Server.objects.filter(host=self._host, actual_state__in=ENDED)
        return set(ended.values_list("pk", flat=True))


_turn = threading.Lock()
_sweepers: dict[int, Sweeper] = {}


def sweep(host_name: str) -> bool:
    """Sweep the host that this process runs on; False if the sweep before is still under way."""
    if not _turn.acquire(blocking=False):
        return False
    try:
        host = Host.objects.filter(name=host_name).first()
        if host is None:
            logger.warning("There is no host named %s to be swept", host_name)
            return True
        if host.pk not in _sweepers:
            _sweepers[host.pk] = Sweeper(host)
        _sweepers[host.pk].sweep()
    except WrittenByAnother:
        logger.warning("Another process sweeps the host %s as well; this sweep was given up", host_name)
    finally:
        _turn.release()
    return True


def close() -> None:
    """Hang up everywhere; for tests and for the end of a process."""
    with _turn:
        while _sweepers:
            _sweepers.popitem()[1].close()
