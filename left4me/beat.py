"""`python -m left4me.beat`: sends the names of periodic tasks on time.

Beat needs the schedule and the broker and none of Django, and Celery's command line would load a terminal toolkit:
without the two it takes half the memory of `celery beat`, which works as well.
"""

import logging.config

from celery import Celery, signals
from celery.apps.beat import Beat

from left4me import settings


@signals.setup_logging.connect
def _log_as_all_others(**_: object) -> None:
    logging.config.dictConfig(settings.LOGGING)


app = Celery("left4me", fixups=[])
app.config_from_object(settings, namespace="CELERY")


def main() -> None:
    Beat(app=app, loglevel="WARNING", quiet=True).run()


if __name__ == "__main__":
    main()
