"""Walk through the API with random requests that build upon each other's answers; fails if one is answered with a 500.

    bench/api [--seconds 60] [--seed 1]      the seconds are for each of the users: an admin, and the owner of things

The walks are made by schemathesis from the API's own document: what one operation answers, such as the id of a new
server, is what the next ones are asked with. They begin with objects of every kind, and nothing carries out the jobs.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from collections import Counter
from typing import Any

from bench import authz, stack

_STEPS = 30


class Told:
    """What was answered."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.operations: Counter[str] = Counter()
        self.faults: dict[str, str] = {}

    def add(self, case: Any, answer: Any) -> None:
        self.statuses[answer.status_code] += 1
        if answer.status_code < 400:
            self.operations[case.operation.label] += 1
        # 502 names Steam, which is not there; an honest 503 says when to try again.
        is_honest = answer.status_code == 502 or (answer.status_code == 503 and "retry-after" in answer.headers)
        if answer.status_code >= 500 and not is_honest:
            self.faults.setdefault(case.operation.label, case.as_curl_command())


def _walk(schema: Any, key: str, told: Told, *, seconds: float, seed: int) -> None:
    from hypothesis import HealthCheck, Phase, errors, settings
    from hypothesis import seed as seeded
    from hypothesis.stateful import run_state_machine_as_test

    deadline = time.monotonic() + seconds
    machine = schema.as_state_machine()

    class Walk(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {key}"}}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            told.add(case, response)

    asked = settings(
        max_examples=1,
        stateful_step_count=_STEPS,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() < deadline:
        seed += 1
        # A walk is made several times at its begin, and what the first has left leads the others elsewhere.
        with contextlib.suppress(errors.Flaky):
            run_state_machine_as_test(seeded(seed)(Walk), settings=asked)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/api", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    stack.prepare()
    stack.redis()
    from django.conf import settings
    from django.core.management import call_command

    # A path of no address is answered with a page.
    call_command("collectstatic", interactive=False, verbosity=0)
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:9"
    authz.lift_rate_limits()
    logging.disable(logging.CRITICAL)
    import schemathesis
    from django.core.wsgi import get_wsgi_application

    from accounts.tests.factories import make_token
    from left4me.tests import permission_world

    cast = authz.make_cast()
    permission_world.furnish(cast.owner, viewer=cast.viewer, operator=cast.operator)
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())
    count = sum(1 for _ in schema.get_all_operations())
    faults: dict[str, str] = {}
    for role in ("admin", "owner"):
        told = Told()
        key = make_token(getattr(cast, role), scope="admin")
        _walk(schema, key, told, seconds=given.seconds, seed=given.seed)
        kinds = Counter({f"{status // 100}xx": 0 for status in told.statuses})
        for status, times in told.statuses.items():
            kinds[f"{status // 100}xx"] += times
        shares = ", ".join(f"{times} × {kind}" for kind, times in sorted(kinds.items()))
        succeeded = f"{len(told.operations)} of {count} operations succeeded"
        print(f"{role:<8}{told.statuses.total():>7} answers: {shares}; {succeeded}", flush=True)
        faults |= told.faults
    for label, command in faults.items():
        print(f"  500 at {label}:\n    {command}")
    print(f"{len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
