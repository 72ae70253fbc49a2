"""Encrypt every stored secret with the present key, after LEFT4ME_SECRET_KEY was changed."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from left4me.core import secrets
from left4me.site import sealed_texts


class Command(BaseCommand):
    help = (
        "Encrypt all stored secrets with the present LEFT4ME_SECRET_KEY. The key that they were encrypted with must "
        "be in LEFT4ME_OLD_SECRET_KEY. Can be run again at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print counts as JSON")

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        if settings.LEFT4ME_SEALING_KEY:
            raise CommandError("This host only reads secrets. Run this command on the machine of the web.")
        resealed, unreadable = 0, []
        for model, field, pk, text in sealed_texts.every():
            try:
                # A secret that was changed meanwhile is encrypted with the present key already.
                same = model._default_manager.filter(**{"pk": pk, field: text})
                resealed += same.update(**{field: secrets.reseal(text)})
            except secrets.Unreadable:
                unreadable.append(f"{model._meta.verbose_name} {pk}")
        if as_json:
            self.stdout.write(json.dumps({"resealed": resealed, "unreadable": unreadable}))
            return
        self.stdout.write(f"Encrypted {resealed} secrets with the present key.")
        for name in unreadable:
            self.stdout.write(f"Not readable with either key: the secret of {name}. Set it again.")
