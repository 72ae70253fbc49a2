"""Other people's RCON and query clients against the simulated game; docs/interop.md says how to run it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import a2s  # noqa: E402 -- these four from the throw-away environment
from opengsq.protocols import Source  # noqa: E402
from opengsq.rcon_protocols.source_rcon import SourceRcon  # noqa: E402
from rcon.source import Client as RconClient  # noqa: E402
from valve.rcon import RCON  # noqa: E402

from servers.runtime.simulated import harness  # noqa: E402

SECONDS = 3.0


def by_python_valve(sim: harness.Sim) -> int:
    with RCON(("127.0.0.1", sim.port), sim.password, timeout=SECONDS) as client:
        return len(client.execute("cvarlist").text)


def by_rcon(sim: harness.Sim) -> int:
    with RconClient("127.0.0.1", sim.port, passwd=sim.password, timeout=SECONDS) as client:
        return len(client.run("cvarlist"))


def by_opengsq(sim: harness.Sim) -> int:
    async def ask() -> int:
        with SourceRcon("127.0.0.1", sim.port, SECONDS) as client:
            await client.authenticate(sim.password)
            return len(await client.send_command("cvarlist"))

    return asyncio.run(ask())


def queries_by_opengsq(sim: harness.Sim) -> int:
    async def ask() -> int:
        source = Source("127.0.0.1", sim.port, SECONDS)
        info, people, rules = await source.get_info(), await source.get_players(), await source.get_rules()
        assert info.players == len(people) == 32
        return len(rules)

    return asyncio.run(ask())


def queries_by_python_a2s(sim: harness.Sim) -> int:
    address = ("127.0.0.1", sim.port)
    assert a2s.info(address, timeout=SECONDS).player_count == len(a2s.players(address, timeout=SECONDS)) == 32
    return len(a2s.rules(address, timeout=SECONDS))


def verdict(ask: Callable[[harness.Sim], int], sim: harness.Sim) -> str:
    try:
        return str(ask(sim))
    except Exception as error:
        return f"{type(error).__name__} {error}".strip()


def main() -> None:
    asks = (by_python_valve, by_rcon, by_opengsq, queries_by_opengsq, queries_by_python_a2s)
    for quirks in ("", "apart", "single"):
        args = ["-maxplayers", "32", "+sim_players", "32"]
        with (
            tempfile.TemporaryDirectory() as directory,
            harness.running(Path(directory), args=args, env={"SIM_QUIRKS": quirks}) as sim,
        ):
            print(f"quirks {quirks or 'none'}; cvarlist is {len(sim.rcon('cvarlist'))} characters")
            for ask in asks:
                print(f"  {ask.__name__}: {verdict(ask, sim)}")


if __name__ == "__main__":
    main()
