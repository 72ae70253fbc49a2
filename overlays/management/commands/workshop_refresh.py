from typing import Any

from django.core.management.base import BaseCommand

from left4me.jobs.models import Job
from overlays.workshop_items import refresh


class Command(BaseCommand):
    help = "Ask Steam about all workshop items in use; says which job does it, a new one or one already active."

    def handle(self, *args: Any, **options: Any) -> None:
        active = Job.objects.live().filter(operation=refresh.OPERATION).values_list("pk", flat=True)
        known = set(active)
        job = refresh.request_refresh(by=None)
        if job.pk in known:
            self.stdout.write(f"already queued/running: job {job.pk}")
        else:
            self.stdout.write(f"enqueued workshop refresh job {job.pk}")
