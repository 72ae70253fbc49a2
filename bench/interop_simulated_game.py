"""Send 10,000 commands to simulated games with all quirks on: each answer must arrive, parse and be complete."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from pathlib import Path

from livestate.status import parse_status
from servers.gamehost import rcon
from servers.simulated import harness

QUERIES = 10_000
QUIRKS = ["", "apart", "single", "no_empty", "no_mirror"]
CHUNKS = ["37", "999", "3900"]


async def ask(sim: harness.Sim, queries: int) -> int:
    client = rcon.Client("127.0.0.1", sim.port, sim.password)
    errors = 0
    for number in range(queries):
        if number % 100 == 50:
            # The game drops its clients now and then, as it does at every map load.
            rcon.execute("127.0.0.1", sim.port, sim.password, f'rcon_password "{sim.password}"', timeout=20)
        try:
            status = parse_status(await client.ask("status", timeout=20, repeatable=True))
            errors += not status.complete or len(status.people) != 8
        except rcon.RconError as error:
            print(f"  {type(error).__name__}: {error}")
            errors += 1
    client.close()
    return errors


def main() -> None:
    variants = list(itertools.product(QUIRKS, CHUNKS))
    each = -(-QUERIES // len(variants))
    total = errors = 0
    start = time.perf_counter()
    for quirks, chunk in variants:
        with tempfile.TemporaryDirectory() as directory:
            args = ["-maxplayers", "8", "+sim_names", "hostile", "+sim_players", "8", "+sim_chunk", chunk]
            with harness.running(Path(directory), args=args, env={"SIM_QUIRKS": quirks}) as sim:
                errors += asyncio.run(ask(sim, each))
                total += each
    print(f"{len(variants)} games: {total} queries, {errors} errors, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
