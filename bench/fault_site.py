"""The application of `bench/faults all` as a client of the API uses it: what is asked, and what must be true then."""

from __future__ import annotations

import json
import os
import random
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.fault_link import NAME as SECOND_HOST
from bench.faults_application import Fleet, belonging
from left4me.testing.simulated_steam import SimulatedSteam

# As the installation takes longest, and moves and builds are made of several jobs, the usual ones come more often.
POWER = ("start", "stop", "restart", "kill")
OPERATIONS = (*POWER, *POWER, "repair", "nothing", "build", "refresh", "backup", "rotation", "next map", "match")
OPERATIONS += ("SourceTV", "command", "move")
ITEMS = 12
_MAP = "c1m1_hotel"


class Api:
    """The API as a client uses it; counts what it must not answer."""

    def __init__(self, base: str, key: str, counts: Counter[str]) -> None:
        self._base, self._key, self._counts = base, key, counts

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer, None if there was none worth having; a refusal is one too."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._base}/api/v1{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            honest = error.code == 503 and error.headers.get("Retry-After")
            self._counts["honest 503"] += bool(honest)
            if error.code >= 500 and not honest:
                self._counts["5xx that are no honest 503"] += 1
                print(f"  {method} {path}: {error.code} {error.read(200)!r}", flush=True)
            elif os.environ.get("BENCH_ROUNDS"):
                print(f"  {method} {path}: {error.code} {error.read(200)!r}", flush=True)
            error.close()
        except (OSError, ValueError):
            self._counts["connections refused or cut"] += 1
        return None


class Site:
    """Servers, an overlay of workshop items, and what is asked of them.

    `two` is the data directory of a second host.
    """

    def __init__(
        self, api: Api, fleet: Fleet, steam: SimulatedSteam, *, overlay: int, cache: Path, two: Path | None
    ) -> None:
        self.api, self.fleet = api, fleet
        self._steam, self._overlay, self._cache, self._two = steam, overlay, cache, two
        self.operations = [each for each in OPERATIONS if two is not None or each != "move"]

    def install(self) -> None:
        """Install the game on every host."""
        hosts = self.api.call("GET", "/hosts")
        for host in hosts["items"] if hosts else []:
            self.api.call("POST", f"/hosts/{host['id']}/actions", {"operation": "repair_game"})

    def ask(self, server: int, operation: str, chance: random.Random) -> None:
        """Ask for it; that it is refused is part of the game."""
        if operation in POWER:
            self.api.call("POST", f"/servers/{server}/actions", {"operation": operation})
        elif operation != "nothing":
            special: dict[str, Callable[[], object]] = {
                "repair": lambda: self.api.call("POST", "/hosts/1/actions", {"operation": "repair_game"}),
                "build": lambda: self._build("build", chance),
                "refresh": lambda: self._build("refresh", chance),
                "backup": lambda: self.api.call("POST", f"/servers/{server}/backups"),
                "rotation": lambda: self._rotate(server),
                "next map": lambda: self._change_map(server),
                "match": lambda: self._play_match(server),
                "SourceTV": lambda: self._record(server, chance),
                "command": lambda: self.api.call(
                    "POST", f"/servers/{server}/orders", {"kind": "say", "value": "hello"}
                ),
                "move": lambda: self._move(server),
            }
            special[operation]()

    def _build(self, how: str, chance: random.Random) -> None:
        """Build or refresh the overlay after files were lost and items have changed."""
        for number in chance.sample(range(1, ITEMS + 1), ITEMS // 3):
            (self._cache / f"{number}.vpk").unlink(missing_ok=True)
        self._steam.items[chance.randint(1, ITEMS)].time_updated += 1
        self.api.call("POST", f"/overlays/{self._overlay}/{how}")

    def _rotate(self, server: int) -> None:
        change = {"is_on": True, "entries": [f"map:{_MAP}"], "repeats": True}
        self.api.call("PATCH", f"/servers/{server}/rotation", change)

    def _change_map(self, server: int) -> None:
        self._rotate(server)  # without one there is no next map
        self.api.call("POST", f"/servers/{server}/next-map", {"operation": "now"})

    def _play_match(self, server: int) -> None:
        made = self.api.call("POST", f"/servers/{server}/matches", {"mode": "arena", "map": _MAP, "load": "now"})
        if made:
            self.api.call("POST", f"/matches/{made['id']}/end")

    def _record(self, server: int, chance: random.Random) -> None:
        self.api.call("PATCH", f"/servers/{server}/sourcetv", {"is_enabled": chance.random() < 0.5, "records": True})
        demos = self.api.call("GET", f"/servers/{server}/demos")
        for demo in (demos or {"items": []})["items"][:1]:
            self.api.call("DELETE", f"/servers/{server}/demos/{demo['id']}")

    def _move(self, server: int) -> None:
        there = self.api.call("GET", f"/servers/{server}")
        if there:
            other = "local" if there["host"] == SECOND_HOST else SECOND_HOST
            self.api.call("POST", f"/servers/{server}/move", {"host": other})

    def faults(self) -> list[str]:
        """What is not as wanted now."""
        servers = self.api.call("GET", "/servers")
        jobs = self.api.call("GET", "/jobs?whose=all&state=live")
        if servers is None or jobs is None:
            return ["the API does not answer"]
        found = [f"job {job['id']} {job['operation']} is {job['state']}" for job in jobs["items"]]
        for row in servers["items"]:
            if row["actual_state"] != row["desired_state"]:
                words = f"{row['actual_state']}, not {row['desired_state']}: {row['last_error']}"
                found.append(f"server {row['id']} is {words}; next attempt {row['next_start_at']}")
            for place, is_here in self.places(row["id"], row["host"]):
                count = len(belonging(place))
                if count != (2 if row["desired_state"] == "running" and is_here else 0):
                    found.append(f"server {row['id']} has {count} processes below {place}")
        return found

    def places(self, server: int, host: str = "") -> list[tuple[Path, bool]]:
        """The directories of a server on each host, and whether it belongs there."""
        places = [(self.fleet.directory(server).path, host != SECOND_HOST)]
        if self._two is not None:
            places.append((self._two / "servers" / str(server), host == SECOND_HOST))
        return places

    def history_is_exact(self, server: int) -> bool:
        """The newest row of a server's history is its state."""
        row = self.api.call("GET", f"/servers/{server}")
        states = self.api.call("GET", f"/servers/{server}/states?limit=1")
        if not row or not states or not states["items"]:
            return True
        return bool(states["items"][0]["state"] == row["actual_state"])

    def items_missing(self) -> int:
        return sum(not (self._cache / f"{number}.vpk").exists() for number in range(1, ITEMS + 1))
