from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from accounts.models import User
from left4me.core import concurrency, lines
from left4me.core.processes import commands
from left4me.core.web import refusals
from left4me.core.web.refusals import Refused
from left4me.importer import actions, execution, operations
from left4me.importer.models import Import
from left4me.jobs.operations import Failed
from servers.models import Host


class ConsoleRun:
    """A job context for a command: it logs to the terminal, and ends with the command."""

    job_id, resource, attempt, host, resource_id = 0, "import:0", 1, "", 0

    def __init__(self, command: BaseCommand) -> None:
        self._command = command
        self.params: dict[str, Any] = {}

    def log(self, line: str, stream: Literal["stdout", "stderr", "event"] = "stdout") -> None:
        (self._command.stderr if stream == "stderr" else self._command.stdout).write(lines.clean(line))

    def progress(self, *, phase: Any, done: int, total: int | None = None, unit: Any = "") -> None:
        return

    def mask(self, *secrets: str) -> None:
        return

    def cancelled(self) -> bool:
        return False

    def check(self) -> None:
        return

    def sleep(self, seconds: float) -> None:
        concurrency.pause(seconds, self.cancelled)

    def command(self, argv: Sequence[str | Path], *, timeout: float, check: bool = True) -> commands.Finished:
        return commands.run(argv, timeout=timeout, check=check)


class Command(BaseCommand):
    help = (
        "Import a server of LinuxGSM, Pterodactyl, Docker or by hand from a directory of this machine: its files, "
        "workshop items, settings, admins and bans. The directory stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="the full path of the directory")
        parser.add_argument("--owner", required=True, help="the user who gets the overlays, blueprints and servers")
        parser.add_argument("--host", help="where the servers will run; default: this host")
        parser.add_argument(
            "--launch", default="", metavar="TEXT", help="the launch line, where the directory has none"
        )
        parser.add_argument("--dry-run", action="store_true", help="print what would be taken and left, and stop")
        parser.add_argument("--resume", type=_number, metavar="N", help="go on with import N, which was interrupted")

    def handle(self, *args: Any, **options: Any) -> None:
        run = ConsoleRun(self)
        row = None
        try:
            row = self._resumed(options["resume"]) if options["resume"] else self._read(run, options)
            if options["dry_run"]:
                actions.discard(row=row, by=row.owner)
                self.stdout.write("\nNothing was written. Without --dry-run, this is imported.")
                return
            actions.record_carrying_out(row, by=row.owner)
            execution.carry_out(row, run=run)
        except ValidationError as fault:
            raise CommandError(refusals.message_of(fault)) from fault
        except (Failed, Refused) as fault:
            again = f" Go on with --resume {row.pk}." if row is not None and row.has_begun else ""
            raise CommandError(f"{fault}{again}") from fault
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. Go on with --resume {row.pk}." if row else "Interrupted.") from None
        self._done(row)

    def _read(self, run: ConsoleRun, options: dict[str, Any]) -> Import:
        owner = User.objects.active().named(options["owner"]).first()
        if owner is None:
            raise CommandError(f"There is no user {options['owner']}.")
        host = None
        if options["host"] and (host := Host.objects.filter(name=options["host"]).first()) is None:
            raise CommandError(f"There is no host {options['host']}.")
        row = actions.create(
            path=options["path"], owner=owner, by=owner, host=host, launch=options["launch"], is_anywhere=True
        )
        try:
            operations.make_plan(row, run)
        except BaseException:
            row.delete()
            raise
        return row

    def _resumed(self, number: int) -> Import:
        row = Import.objects.select_related("owner", "user", "host").filter(pk=number, finished_at=None).first()
        if row is None:
            raise CommandError(f"There is no import {number} that was interrupted.")
        return row

    def _done(self, row: Import) -> None:
        self.stdout.write("")
        for result in row.result.values():
            for server in result["servers"].values():
                page = reverse("servers:detail", args=[server["server"]])
                self.stdout.write(f"{server['name']}, port {server['port']}: {page}")
                for note in server["notes"]:
                    self.stdout.write(f"  {note}")
        self.stdout.write("The old server was not touched. Stop it before you start the new one on the same port.")


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise ArgumentTypeError("give the number of an import")
    return int(text)
