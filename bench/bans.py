"""Print how long 500 new bans take into 40 running games, what they cost, and how an outage ends.

    bench/bans [--servers 40] [--bans 500]

The games are simulated ones, each a process of its own; one of the bans is that of a player who is on all of them. A
round trip is one command and its whole answer.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ALLOWED_SECONDS = 5.0
PLAYER = "Troll"


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(label: str, asked: Counter[int]) -> float:
    """Run one pass over the games and print what it took; return its seconds."""
    from django.utils import timezone

    from livestate.bans import application

    asked.clear()
    began, spent = time.perf_counter(), cpu()
    count = application.apply_due("bench", now=timezone.now())
    seconds, spent = time.perf_counter() - began, cpu() - spent
    trips = max(asked.values(), default=0)
    print(f"  {label:<44}{count:>3} games{seconds:>8.3f} s{spent:>8.3f} s CPU{trips:>4} round trips each", flush=True)
    return seconds


def make_rows(games: list[Any]) -> Any:
    from django.utils import timezone

    from accounts.models import User
    from livestate.bans import actions
    from servers.models import Blueprint, Host, Server

    owner = User.objects.create(username="bench")
    host = Host.objects.create(name="bench")
    blueprint = Blueprint.objects.create(owner=owner, name="bench")
    template = Server(rcon_password=games[0].password)
    Server.objects.bulk_create(
        Server(
            owner=owner,
            host=host,
            blueprint=blueprint,
            name=f"bench {game.port}",
            port=game.port,
            sealed_rcon_password=template.sealed_rcon_password,
            actual_state=Server.State.RUNNING,
            started_at=timezone.now(),
        )
        for game in games
    )
    return actions.default_list(owner)


def run(games: list[Any], bans: int) -> None:
    from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
    from livestate.bans import actions, application
    from livestate.bans.actions import Entry
    from livestate.bans.models import AppliedBans, Ban, BanList
    from servers.models import Server
    from servers.simulated.srcds.players import account_of

    asked: Counter[int] = Counter()
    ask = application._ask

    async def counted(client: Any, command: str) -> str:
        asked[client.port] += 1
        return await ask(client, command)

    application._ask = counted
    ban_list = make_rows(games)
    measured("first look, no bans", asked)
    targets = [str(STEAM_ID_64_BASE + 1_000_000_007 + 7_919 * number) for number in range(bans - 1)]
    targets.append(str(STEAM_ID_64_BASE + account_of(PLAYER)))
    began = time.perf_counter()
    actions.import_entries(ban_list=ban_list, entries=[Entry(target) for target in targets], by=ban_list.owner)
    print(f"  {bans} bans stored in {time.perf_counter() - began:.3f} s")
    seconds = measured(f"{bans} bans into every game, confirmed", asked)
    confirmed = [len(row.targets) for row in AppliedBans.objects.filter(failures=0)]
    assert confirmed == [bans] * len(games), confirmed
    assert all("0 humans" in game.rcon("status") for game in games), "the banned player is still there"
    measured("nothing to do", asked)
    # An outage: games were restarted without their bans, others lost some, and a ban was lifted in the meantime.
    for number, game in enumerate(games):
        if number % 2:
            game.rcon("removeallids")
    Ban.objects.filter(target=targets[0]).update(ended_at="2030-01-01T00:00Z")
    BanList.objects.update(version=99)
    Server.objects.update(started_at="2030-01-01T00:00Z")
    measured("after an outage: half of the games are empty", asked)
    assert {len(row.targets) for row in AppliedBans.objects.filter(failures=0)} == {bans - 1}
    assert all(f"{bans - 1} entries" in game.rcon("listid") for game in games)
    verdict = "within" if seconds <= ALLOWED_SECONDS else "NOT within"
    print(f"  {verdict} the {ALLOWED_SECONDS:g} s that are allowed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=40)
    parser.add_argument("--bans", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="left4me-bench-") as root, contextlib.ExitStack() as stack:
        os.environ.update(LEFT4ME_ROOT=root, DJANGO_SETTINGS_MODULE="left4me.settings", DATABASE_URL="")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from left4me.core.redis import hosts
        from servers.simulated import harness

        hosts.send = lambda *args, **options: True  # no broker runs here

        def start(number: int) -> Any:
            context = harness.running(Path(root) / f"game-{number}", args=["+sim_join", PLAYER])
            return stack.enter_context(context)

        with ThreadPoolExecutor(4) as pool:
            games = list(pool.map(start, range(given.servers)))
        for game in games:
            game.rcon(f"sim_join {PLAYER}")
        load = f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.0f}"
        print(f"{given.servers} games, {given.bans} bans, {load}")
        run(games, given.bans)


if __name__ == "__main__":
    main()
