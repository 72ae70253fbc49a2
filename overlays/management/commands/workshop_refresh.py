from typing import Any

from django.core.management.base import BaseCommand

from left4me.jobs.models import Job
from overlays.workshop_items import refresh


class Command(BaseCommand):
    help = "Refresh all workshop items in use from Steam, and print the job that does it."

    def handle(self, *args: Any, **options: Any) -> None:
        active = Job.objects.live().filter(operation=refresh.OPERATION).values_list("pk", flat=True)
        known = set(active)
        job = refresh.request_refresh(by=None)
        if job.pk in known:
            self.stdout.write(f"already queued/running: job {job.pk}")
        else:
            self.stdout.write(f"enqueued workshop refresh job {job.pk}")
