"""`python -m left4me.beat` runs Celery's beat, which sends the tasks of `CELERY_BEAT_SCHEDULE` in settings.py.

Beat needs the schedule and the broker, but neither Django nor Celery's command line. Without these two it takes half
the memory of `celery beat`, which works as well.
"""

import contextlib
import logging.config
from datetime import timedelta
from typing import Any

from celery import Celery, signals
from celery.apps.beat import Beat
from celery.beat import Scheduler
from celery.schedules import crontab
from kombu.exceptions import OperationalError

from left4me import settings
from left4me.core import clock
from left4me.core.redis import hosts

log = logging.getLogger(__name__)

# The worker may take longer to start than a periodic pulse is valid.
_PULSE_EXPIRES_SECONDS = 20.0
# A step of the clock is noticed within this time.
_LONGEST_SLEEP_SECONDS = 5.0


@signals.setup_logging.connect
def _log_as_all_others(**_: object) -> None:
    # Django has done so where bin/up forks beat from.
    if not logging.getLogger().handlers:
        logging.config.dictConfig(settings.LOGGING)


@signals.beat_init.connect
def _send_pulse(**_: object) -> None:
    """Send the first pulse now and not after its period, so that `/ready` answers 200 as soon as the worker runs."""
    entry = app.conf.beat_schedule["pulse"]
    options = entry["options"] | {"expires": _PULSE_EXPIRES_SECONDS}
    # Without the broker there is nothing to be ready for; the schedule sends the next one.
    with contextlib.suppress(OperationalError):
        app.send_task(entry["task"], **options)


class SteadyScheduler(Scheduler):
    """Celery's scheduler, which would send nothing until a clock that was set back has caught up."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._clock = clock.Watch()
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> float:
        if step := self._clock.step():
            log.warning("The clock was %s; periodic tasks go on in their rhythm", clock.in_words(step))
            self._follow_clock(timedelta(seconds=step))
        seconds: float = super().tick(*args, **options)
        return min(seconds, _LONGEST_SLEEP_SECONDS)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:  # noqa: FBT001, FBT002
        """Send a task, unless the worker has been away for so long that its messages would fill Redis."""
        if producer is not None:
            waiting = producer.channel.client.llen(settings.CELERY_TASK_DEFAULT_QUEUE)
            if waiting >= hosts.MOST_WAITING:
                return None
        return super().apply_async(entry, producer=producer, advance=advance, **options)

    def _follow_clock(self, step: timedelta) -> None:
        for entry in self.schedule.values():
            # A time of day is that of the corrected clock; a rhythm goes on as if the clock had not been touched.
            if (last := entry.last_run_at) is not None:
                moved = last if isinstance(entry.schedule, crontab) else last + step
                entry.last_run_at = min(moved, entry.default_now())
        self._heap = None


# Current in the process of beat only: whoever imports this module, such as a test, has an app of its own.
app = Celery("left4me", fixups=[], set_as_current=False)
app.config_from_object(settings, namespace="CELERY")


def main() -> None:
    app.set_current()
    # A name would import this module, which runs as `__main__`, once more.
    Beat(app=app, scheduler_cls=SteadyScheduler, loglevel="WARNING", quiet=True).run()  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
