"""Writes docs/jobs-states.md from the table of transitions."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from left4me.jobs import states


class Command(BaseCommand):
    help = "Draw the states of a job, and the ways between them, into docs/jobs-states.md."

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "jobs-states.md"
        path.write_text(states.diagram())
        self.stdout.write(f"wrote {path.relative_to(settings.BASE_DIR)}")
