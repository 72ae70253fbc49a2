from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deploy.doctor import application, findings
from deploy.doctor.findings import Level


class Command(BaseCommand):
    help = "Check this machine and print problems with their fixes. Exits with status 1 if there is a problem."
    # The doctor must also run when the database or a setting is broken.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the results as JSON")

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        styles: dict[Level, Callable[[str], str]]
        styles = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "fault": self.style.ERROR}
        status = findings.report(application.examine(), write=self.stdout.write, as_json=as_json, styles=styles)
        if status:
            raise SystemExit(status)
