"""What people do on pages, for locust (see bench/load). It knows pages only by their addresses, as a browser does."""

from __future__ import annotations

import os
import random
import re
from itertools import count
from pathlib import Path

from locust import HttpUser, between, task

VISITORS = Path(os.environ["PEOPLE"]).read_text().splitlines()
_numbers = count()
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Person(HttpUser):
    wait_time = between(5, 15)

    def on_start(self) -> None:
        cookie, *servers = VISITORS[next(_numbers) % len(VISITORS)].split()
        name, _equals, value = cookie.partition("=")
        self.client.cookies.set(name, value)
        self.servers = servers

    @task(4)
    def look_at_the_dashboard(self) -> None:
        self._get("/", "dashboard")

    @task(4)
    def look_at_the_list(self) -> None:
        self._get("/servers", "servers")
        if random.random() < 0.3:
            self._get("/servers?q=load&state=running", "servers, filtered")

    @task(6)
    def open_a_server(self) -> None:
        """The page, then what its scripts ask for."""
        pk = random.choice(self.servers)
        self._get(f"/servers/{pk}", "server")
        self._get(f"/servers/{pk}/state?tab=overview", "server, moving part")
        self._get(f"/api/v1/servers/{pk}/figures?range=24h", "figures of a server")

    @task(3)
    def look_at_its_other_tabs(self) -> None:
        pk = random.choice(self.servers)
        for path, name in (
            ("players", "players of a server"),
            ("history", "history"),
            ("console", "console"),
            ("logs", "log"),
        ):
            self._get(f"/servers/{pk}/{path}", name)

    @task(1)
    def write_to_players(self) -> None:
        pk = random.choice(self.servers)
        page = self._get(f"/servers/{pk}/console", "console")
        token = _TOKEN.search(page)
        if token is not None:
            data = {"kind": "say", "value": "The next map is yours.", "csrfmiddlewaretoken": token[1]}
            headers = {"Referer": f"{self.host}/servers/{pk}/console"}
            self.client.post(f"/servers/{pk}/orders", data, headers=headers, name="a message to players")

    @task(2)
    def look_around(self) -> None:
        for path in random.sample(["/blueprints", "/overlays", "/jobs", "/players", "/hosts"], 2):
            self._get(path, path.strip("/"))

    def _get(self, path: str, name: str) -> str:
        return str(self.client.get(path, name=name).text)
