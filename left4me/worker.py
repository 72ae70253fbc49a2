"""`python -m left4me.worker`: takes this host's messages and runs its jobs.

The same as `celery -A left4me worker --pool threads …`, with the options that left4me means and without Celery's
command line, which would load a terminal toolkit into a process that stays for months.
"""

import sys

from left4me.celery import app  # isort: skip -- it sets up Django's settings, which the next line reads

from django.conf import settings

# Beside the jobs, which have slots of their own: sweeps, polls, refreshes; each takes seconds at most.
_PERIODIC_TASKS_AT_ONCE = 4


def main() -> int:
    worker = app.Worker(
        hostname=f"{settings.LEFT4ME_HOST}@%h",
        pool_cls="threads",
        concurrency=_PERIODIC_TASKS_AT_ONCE,
        queues=[settings.CELERY_TASK_DEFAULT_QUEUE],
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
