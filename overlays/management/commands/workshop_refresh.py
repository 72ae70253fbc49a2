from typing import Any

from django.core.management.base import BaseCommand

from overlays.workshop_items import refresh


class Command(BaseCommand):
    help = "Ask Steam about all workshop items in use; prints the id of the job, new or already active."

    def handle(self, *args: Any, **options: Any) -> None:
        job = refresh.request_refresh(by=None)
        self.stdout.write(str(job.pk))
