"""The races of `bench/authz`: requests at the same moment for the last place of each limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.core.management import call_command
from django.db import connection

from left4me.tests import limits
from left4me.tests.limits import LIMITS


def run(cast: Any, report: Any, *, threads: int, rounds: int) -> None:
    print(f"{threads} requests at once for one place, {rounds} rounds, {connection.vendor}:")
    from accounts.models import User

    for limit in LIMITS:
        statuses: Counter[int] = Counter()
        for _round in range(rounds):
            call_command("flush", interactive=False, verbosity=0)
            place = limits.furnish(User.objects.create_user("anna"))
            undo: list[Callable[[], None]] = []
            limit.lower(place, _setter(undo))
            before = limit.count()
            answers = limits.at_once(limit, place, threads=threads)
            for each in undo:
                each()
            statuses.update(answers)
            if (added := limit.count() - before) != 1:
                report.fault(f"{limit.name}: {added} instead of 1, answered {sorted(answers)}")
            if max(answers) >= 500:
                report.fault(f"{limit.name}: answered {sorted(answers)}")
        print(f"  {limit.name:<32}" + "".join(f"{count:>7} × {status}" for status, count in sorted(statuses.items())))


def _setter(undo: list[Callable[[], None]]) -> Callable[[Any, str, Any], None]:
    def set_value(target: Any, name: str, value: Any) -> None:
        before = getattr(target, name)
        undo.append(lambda: setattr(target, name, before))
        setattr(target, name, value)

    return set_value
