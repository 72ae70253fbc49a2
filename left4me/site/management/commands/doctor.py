from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

from deploy.doctor import application, findings
from deploy.doctor.findings import Level
from deploy.language import ENGLISH, of_system, speak, spoken

# As Django calls the languages that the doctor speaks.
LANGUAGES = {"en": "en", "de": "de", "zh": "zh-hans"}


class Command(BaseCommand):
    help = "Check this machine and print problems with their fixes. Exits with status 1 if there is a problem."
    # The doctor must also run when the database or a setting is broken.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the results as JSON")
        parser.add_argument(
            "--language", choices=LANGUAGES, help="default: that of the system for people, English for --json"
        )

    def handle(self, *args: Any, as_json: bool, language: str | None, **options: Any) -> None:
        speak(language or (ENGLISH if as_json else of_system()))
        styles: dict[Level, Callable[[str], str]]
        styles = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "fault": self.style.ERROR}
        with translation.override(LANGUAGES[spoken()]):
            found = application.examine()
        status = findings.report(found, write=self.stdout.write, as_json=as_json, styles=styles)
        if status:
            raise SystemExit(status)
