"""The Celery application as beat needs it: the schedule and the broker, and none of Django.

Beat only sends names of tasks on time. Without the apps behind them it takes about half the memory.
"""

from celery import Celery

from left4me import settings

app = Celery("left4me", fixups=[])
app.config_from_object(settings, namespace="CELERY")
