"""`python -m left4me.worker`: the Celery worker of this host, which runs its jobs and periodic tasks.

The same as `celery -A left4me worker --queues host.NAME --without-gossip --without-mingle`, but without Celery's
command line, which would load a terminal toolkit into a process that runs for months.
"""

import socket
import sys

from left4me.celery import app  # isort: skip -- it sets up Django's settings, which the next line reads

from celery.utils import imports
from django.conf import settings

from left4me.core import schema

# `celery events` and Flower see that a worker lives; more often than this would wake an idle machine for nothing.
_HEARTBEAT_SECONDS = 10


def load_tasks() -> None:
    """Load all that the worker runs, for a process that forks it; connects to nothing."""
    app.loader.import_default_modules()
    app.finalize()
    for step in app.steps["worker"]:
        imports.symbol_by_name(step)
    schema.of_this_release()


def main() -> int:
    worker = app.Worker(
        hostname=f"{settings.LEFT4ME_HOST}@{socket.gethostname()}",
        queues=[settings.CELERY_TASK_DEFAULT_QUEUE],
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not settings.LEFT4ME_CELERY_MONITORING,
        heartbeat_interval=_HEARTBEAT_SECONDS,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
