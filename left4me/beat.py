"""`python -m left4me.beat` runs Celery's beat, which sends the tasks of `CELERY_BEAT_SCHEDULE` in settings.py.

Beat needs the schedule and the broker, but neither Django nor Celery's command line. Without these two it takes half
the memory of `celery beat`, which works as well.
"""

import contextlib
import logging.config

from celery import Celery, signals
from celery.apps.beat import Beat
from kombu.exceptions import OperationalError

from left4me import settings

# The worker may take longer to start than a periodic pulse is valid.
_PULSE_EXPIRES_SECONDS = 20.0


@signals.setup_logging.connect
def _log_as_all_others(**_: object) -> None:
    logging.config.dictConfig(settings.LOGGING)


@signals.beat_init.connect
def _send_pulse(**_: object) -> None:
    """Send the first pulse now and not after its period, so that `/ready` answers 200 as soon as the worker runs."""
    entry = app.conf.beat_schedule["pulse"]
    options = entry["options"] | {"expires": _PULSE_EXPIRES_SECONDS}
    # Without the broker there is nothing to be ready for; the schedule sends the next one.
    with contextlib.suppress(OperationalError):
        app.send_task(entry["task"], **options)


app = Celery("left4me", fixups=[])
app.config_from_object(settings, namespace="CELERY")


def main() -> None:
    Beat(app=app, loglevel="WARNING", quiet=True).run()


if __name__ == "__main__":
    main()
