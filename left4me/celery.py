"""The Celery application: runs jobs and periodic tasks from the queues of the hosts."""

import gc
import os
import warnings
from typing import Any

from celery import Celery, signals
from celery.platforms import SecurityWarning  # type: ignore[attr-defined]
from kombu import transport
from kombu.transport import redis

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")

# Celery warns root about pickled messages; only JSON is accepted here, and games never run as root.
warnings.filterwarnings("ignore", category=SecurityWarning)


@signals.setup_logging.connect
def _leave_logging_alone(**_: object) -> None:
    """Django has set it up: Celery's own lines are to look like all others."""


@signals.worker_ready.connect
def _spare_the_collector(**_: object) -> None:
    """Leave all that is loaded out of garbage collections: it stays, and looking through it takes long.

    It was a tenth of the first sweep of a thousand servers.
    """
    gc.collect()
    gc.freeze()


@signals.task_prerun.connect
@signals.task_postrun.connect
def _close_broken_connections(**_: object) -> None:
    """Close this thread's database connections that broke or are too old, as Django does around a request."""
    from django.db import close_old_connections

    close_old_connections()


class Channel(redis.Channel):
    """Keeps a client of Redis. Kombu makes a new one for each command: an eighth of what a message costs a worker."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 -- as kombu has it
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]
        # The pool is another one after a lost connection. A client may be used by several threads.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc]
        return self._kept


class Transport(redis.Transport):
    Channel = Channel


transport.TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "left4me.celery:Transport"))

app = Celery("left4me")
# Web requests run in threads; without a default app those would get an unconfigured one that looks for AMQP.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["left4me.site"], related_name="pulse")
app.autodiscover_tasks(["left4me.site"], related_name="integrity")
app.autodiscover_tasks(["left4me.site"], related_name="sizes")
app.autodiscover_tasks(["left4me.status_pages"], related_name="discord")
app.autodiscover_tasks(["left4me.backups"], related_name="operations")
# By name: the worker loads it after Django is set up, nothing else loads it at all.
app.steps["worker"].add("left4me.jobs.tasks:JobsStep")
