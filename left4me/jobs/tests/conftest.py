from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from left4me.core.redis import pubsub
from left4me.jobs import actions, transitions
from left4me.jobs.models import Job
from left4me.jobs.tests import operations  # noqa: F401 -- registers them
from left4me.jobs.tests.processes import Process, start_worker

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=15)


@pytest.fixture
def anna(cast: Any) -> Any:
    return cast.owner


@pytest.fixture
def stan(cast: Any) -> Any:
    return cast.stranger


@pytest.fixture
def ada(cast: Any) -> Any:
    return cast.admin


@pytest.fixture
def ask(db: None) -> Callable[..., Job]:
    def ask(operation: str, resource: str = "server:1", *, by: Any = None, host: str = "local", **params: Any) -> Job:
        return actions.request(operation=operation, resource=resource, by=by, host=host, params=params)

    return ask


@pytest.fixture
def claim(db: None) -> Callable[..., list[int]]:
    def claim(*, host: str = "local", worker: str = "worker", limit: int = 10, now: datetime = NOW) -> list[int]:
        jobs = transitions.claim(host=host, worker=worker, limit=limit, now=now, lease=LEASE)
        return [job.pk for job in jobs]

    return claim


@pytest.fixture
def worker(tmp_path: Path, transactional_db: None, redis_client: object) -> Iterator[Callable[..., Process]]:
    """Start worker processes; what is left of them ends with the test."""
    started: list[Process] = []

    def start(**options: Any) -> Process:
        started.append(start_worker(tmp_path / f"worker-{len(started)}.log", **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def story(job: Job) -> list[str]:
    return list(job.log.order_by("seq").values_list("line", flat=True))


@pytest.fixture(autouse=True)
def _redis_may_be_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test without Redis must not make this one believe that it is away."""
    monkeypatch.setattr(pubsub._Outage, "until", 0.0)
