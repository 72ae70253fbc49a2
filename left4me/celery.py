"""The Celery application: carries wake-ups to the hosts' queues and ticks the periodic tasks."""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning  # type: ignore[attr-defined]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")

# Celery warns root about pickled messages; only JSON is accepted here, and games never run as root.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("left4me")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["left4me"], related_name="pulse")
