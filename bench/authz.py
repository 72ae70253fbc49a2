"""Ask the application for more than docs/permissions.md gives, and print what it answers; fails if it ever gives more.

    bench/authz [matrix] [streams] [races] [--threads 12] [--rounds 3]     all three without a name

matrix   every address and method, asked by everybody: without an account, and in each role with a session and with a
         token of each scope; with objects that are not there, with objects of others below one's own, and with objects
         of others in bodies and queries. Fails if somebody gets more than the table says, if a stranger can tell what
         is there from what is not, or if an address is in no table.
streams  rights that are taken away while streams are open: prints after how many seconds each stream ends.
races    requests at the same moment for the last place of each limit. `bin/with-postgres bench/authz races` asks where
         it is hardest: SQLite has one writer at a time.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from types import SimpleNamespace

from bench import stack

AREAS = ("matrix", "streams", "races")


class Report:
    """Counts outcomes under a name, and keeps what must not be."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._counts: dict[str, Counter[str]] = {}

    def count(self, what: str, outcome: str) -> None:
        self._counts.setdefault(what, Counter())[outcome] += 1

    def fault(self, text: str) -> None:
        self.faults.append(text)
        print(f"  FAULT {text}", flush=True)

    def show(self) -> None:
        for what, counts in self._counts.items():
            print(f"  {what:<32}" + "".join(f"{counts[each]:>7} {each}" for each in sorted(counts)), flush=True)
        self._counts.clear()


def make_cast() -> SimpleNamespace:
    """The users of the tests: Anna owns things, Otto operates, Vera views, Stan is a stranger, Ada is admin."""
    from accounts.models import User

    names = {"owner": "anna", "operator": "otto", "viewer": "vera", "stranger": "stan"}
    users = {role: User.objects.create_user(name) for role, name in names.items()}
    return SimpleNamespace(**users, admin=User.objects.create_user("ada", is_admin=True))


def lift_rate_limits() -> None:
    """Let an actor ask as often as the matrix is large: what is refused for being too much proves nothing here."""
    from left4me.core.redis import rate_limit

    def add(*counted: tuple[rate_limit.Limit, str]) -> list[rate_limit.Count]:
        return [rate_limit.Count(limit, 0, 0) for limit, _subject in counted]

    rate_limit.add = add


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/authz", description=__doc__.partition("\n")[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"one of {', '.join(AREAS)}")
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if unknown := set(given.areas) - set(AREAS):
        parser.error(f"no area is called {', '.join(sorted(unknown))}")
    stack.prepare()
    stack.redis()
    from django.conf import settings
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    call_command("collectstatic", interactive=False, verbosity=0)
    setup_test_environment()
    settings.LEFT4ME_SIGNUP = "open"
    # Nothing answers there: what asks Steam must be allowed to, not to succeed.
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:9"
    lift_rate_limits()
    from bench import authz_matrix, authz_races, authz_streams

    cast, report = make_cast(), Report()
    areas = given.areas or AREAS
    if "matrix" in areas:
        authz_matrix.run(cast, report)
    if "streams" in areas:
        authz_streams.run(cast, report)
    if "races" in areas:
        authz_races.run(cast, report, threads=given.threads, rounds=given.rounds)
    print(f"{len(report.faults)} faults")
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
