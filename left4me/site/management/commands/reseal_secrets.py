"""Encrypt every stored secret with the present key, after LEFT4ME_SECRET_KEY was changed."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from left4me.core import secrets
from left4me.site import sealed_texts
from servers.hosts import host_keys
from servers.models import Host


class Command(BaseCommand):
    help = (
        "Encrypt all stored secrets with the present LEFT4ME_SECRET_KEY. The key that they were encrypted with must "
        "be in LEFT4ME_OLD_SECRET_KEY. Can be run again at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print counts as JSON")
        parser.add_argument(
            "--new-key", action="store_true", dest="is_new", help="the key is one that no other host has ever had"
        )

    def handle(self, *args: Any, as_json: bool, is_new: bool, **options: Any) -> None:
        if settings.LEFT4ME_SEALING_KEY:
            raise CommandError("This host only reads secrets. Run this command on the machine of the web.")
        resealed = sum(host_keys.reseal(host) for host in Host.objects.all())
        for model, field, pk, text in sealed_texts.of_the_web():
            with contextlib.suppress(secrets.Unreadable):
                after = secrets.resealed(text, key_name="")
                # A secret that was changed meanwhile is encrypted with the present key already.
                same = model._default_manager.filter(**{"pk": pk, field: text})
                resealed += same.update(**{field: after}) if after != text else 0
        unreadable = sealed_texts.unreadable()
        if is_new and not unreadable:
            Host.objects.exclude(key_number=0).update(knows_web_key=False)
        if as_json:
            self.stdout.write(json.dumps({"resealed": resealed, "unreadable": unreadable}))
            return
        self.stdout.write(f"Encrypted {resealed} secrets with the present key.")
        for name in unreadable:
            self.stdout.write(f"Not readable with either key: the secret of {name}. Set it again.")
