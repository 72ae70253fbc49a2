"""The container files, without a container engine: what they name exists, and what they run, runs.

The tree that the Dockerfile copies is made here, and the commands of compose.yaml are started in it with the
environment that they get there: as user 10001, without capabilities, on a read-only root. Only database and Redis
are others.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "deploy/container"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "left4me"}
GIVEN = {
    "LEFT4ME_SECRET_KEY": "k" * 40,
    "LEFT4ME_ALLOWED_HOSTS": "left4me.example.org",
    "LEFT4ME_GAME": "simulated",
    "POSTGRES_PASSWORD": "p" * 40,
    "REDIS_PASSWORD": "r" * 40,
}
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions in order, continued lines joined."""
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def built_environment(*, for_step: str | None = None) -> dict[str, str]:
    """The variables of the image; for a step of its build, those that are set before it."""
    found: dict[str, str] = {}
    for word, rest in dockerfile():
        if word == "RUN" and rest == for_step:
            break
        if word == "ENV":
            found |= dict(each.split("=", 1) for each in shlex.split(rest))
    return found


def filled(text: str, given: dict[str, str]) -> str:
    """As compose fills in variables."""

    def value(match: re.Match[str]) -> str:
        name, kind, other = match.groups()
        if name is None:
            return "$"
        if kind == "?":
            return given[name]
        return given.get(name) or (other if kind else "")

    return VARIABLE.sub(value, text)


def variables(node: Any) -> set[str]:
    return {match[0] for match in VARIABLE.findall(json.dumps(node)) if match[0]}


def settings_that_exist() -> set[str]:
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (PROJECT / "deploy/env.example").read_text(), re.M))


def copied() -> list[tuple[str, str]]:
    return [tuple(rest.split()) for word, rest in dockerfile() if word == "COPY" and "--from" not in rest]  # type: ignore[misc]


def test_variables_and_settings_are_known():
    example = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (FOLDER / "env.example").read_text(), re.M)
    assert variables(COMPOSE) == set(example)
    python = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "CELERY_SKIP_CHECKS"}
    for service in OURS.values():
        assert set(service["environment"]) <= settings_that_exist() | python
    assert set(built_environment()) <= settings_that_exist() | python


def test_what_must_be_given_has_no_value_in_the_example_and_what_need_not_is_optional():
    lines = (FOLDER / "env.example").read_text().splitlines()
    must = {name for name, kind, _ in VARIABLE.findall(json.dumps(COMPOSE)) if kind == "?"}
    assert {line.partition("=")[0] for line in lines if line and not line.startswith("#")} == must


def test_files_that_are_copied_are_there_and_not_ignored():
    ignored = (PROJECT / ".dockerignore").read_text().split()
    for source, _ in copied():
        assert (PROJECT / source).exists()
        assert f"!{source}" in ignored
    assert next(rest for word, rest in dockerfile() if word == "ARG") == "BASE=python:3.11-slim-bookworm"
    assert {rest for word, rest in dockerfile() if word == "FROM"} == {"${BASE} AS packages", "${BASE}"}
    build = SERVICES["web"]["build"]
    assert (FOLDER / build["context"]).resolve() == PROJECT
    assert (PROJECT / build["dockerfile"]).samefile(FOLDER / "Dockerfile")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_closed(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    if name != "worker":
        assert service["security_opt"] == ["no-new-privileges:true"]
    user = service.get("user") or [rest for word, rest in dockerfile() if word == "USER"][-1]
    assert int(user.partition(":")[0]) > 0
    if service["image"] != "left4me":
        assert re.fullmatch(r"[a-z]+:\d+(-[a-z]+)?", service["image"])
    for volume in service["volumes"]:
        assert volume.partition(":")[0] in COMPOSE["volumes"]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_no_port_is_open_to_others_but_those_of_games():
    ports = {name: [filled(port, GIVEN) for port in service.get("ports", [])] for name, service in SERVICES.items()}
    assert {name: found for name, found in ports.items() if found} == {
        "web": ["127.0.0.1:8000:8000"],
        "worker": ["27015-27034:27015-27034/udp"],
    }
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    assert SERVICES["redis"]["networks"] == SERVICES["postgres"]["networks"] == ["inner"]


def test_the_image_runs_the_web_as_compose_does():
    [command] = [json.loads(rest) for word, rest in dockerfile() if word == "CMD"]
    assert command == SERVICES["web"]["command"]


class Containers:
    """Runs commands as their containers would, side by side."""

    def __init__(self, place: Path, redis_socket: Path) -> None:
        self.tree, self.data = place / "tree", place / "data"
        self._redis = redis_socket
        self._running: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        first = free_port()
        self._given = GIVEN | {"LEFT4ME_PORTS": f"{first}-{min(first + 9, 65535)}"}
        self.data.mkdir()
        self._copy()
        for word, rest in dockerfile():
            if word == "RUN" and "collectstatic" in rest:
                self._image_step(rest)

    def _copy(self) -> None:
        left_out = [line for line in (PROJECT / ".dockerignore").read_text().split() if line[0] not in "!*#"]

        def ignored(folder: str, names: list[str]) -> list[str]:
            inside = Path(folder).relative_to(PROJECT)
            return [name for name in names if name in ("tests", "__pycache__") or str(inside / name) in left_out]

        (self.tree / ".venv").mkdir(parents=True)
        for source, target in copied():
            if source == "requirements.txt":
                continue
            path = PROJECT / source
            if path.is_dir():
                shutil.copytree(path, self.tree / target, ignore=ignored)
            else:
                shutil.copy2(path, self.tree / target)

    def _image_step(self, step: str) -> None:
        """A step of the build: there the tree is written, by root."""
        sandbox = self._sandbox(built_environment(for_step=step), writable_tree=True)
        argv = [*sandbox, "bash", "-euo", "pipefail", "-c", step.replace("$RELEASE", "container")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(self.data.iterdir()) == [], "a step of the build writes into the volume, as another user"

    def environment(self, name: str) -> dict[str, str]:
        environment = built_environment() | {
            key: filled(text, self._given) for key, text in OURS[name]["environment"].items()
        }
        environment["LEFT4ME_BIND"] = environment["LEFT4ME_BIND"].replace("8000", str(self.port))
        del environment["DATABASE_URL"]  # SQLite on the volume, instead of compose's PostgreSQL
        environment["REDIS_URL"] = f"unix:///srv/{self._redis.name}"
        return environment

    def _sandbox(self, environment: dict[str, str], *, writable_tree: bool = False) -> list[str | Path]:
        environment = environment | {"PATH": environment["PATH"].replace("$PATH", os.environ["PATH"])}
        settings = [word for key, value in environment.items() for word in ("--setenv", key, value)]
        return [
            *("bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL"),
            *("--uid", "10001", "--gid", "10001", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
            *("--tmpfs", "/tmp", "--tmpfs", "/opt", "--tmpfs", "/srv", "--tmpfs", "/var/lib"),
            *("--bind" if writable_tree else "--ro-bind", self.tree, "/opt/left4me"),
            *("--ro-bind", sys.prefix, "/opt/left4me/.venv", "--bind", self.data, "/var/lib/left4me"),
            *("--bind", self._redis, f"/srv/{self._redis.name}", "--remount-ro", "/opt", "--remount-ro", "/srv"),
            *("--remount-ro", "/var/lib", "--chdir", "/opt/left4me", "--clearenv", *settings),
        ]

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = [word.replace("8000", str(self.port)) for word in OURS[name]["command"]]
        argv = [*self._sandbox(self.environment(name)), *command]
        with (self.data.parent / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
        self._running.append(process)
        return process

    def run(self, name: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec`, more or less."""
        words = [word.replace("8000", str(self.port)) for word in argv]
        return subprocess.run(
            [*self._sandbox(self.environment(name)), *words], capture_output=True, text=True, timeout=60, check=False
        )

    def said(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()}" for log in self.data.parent.glob("*.log"))

    def end(self) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            process.wait(60)


@pytest.fixture
def containers(tmp_path: Path, redis_server: Path, redis_client: object) -> Iterator[Containers]:
    containers = Containers(tmp_path, redis_server)
    yield containers
    containers.end()


def healthy(containers: Containers) -> bool:
    kind, *check = OURS["web"]["healthcheck"]["test"]
    assert kind == "CMD"
    return containers.run("web", *check).returncode == 0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def states(containers: Containers) -> list[str]:
    """The states of the servers, read beside the containers: a command in one of them takes seconds."""
    with closing(sqlite3.connect(containers.data / "left4me.sqlite3")) as database:
        return [state for (state,) in database.execute("SELECT actual_state FROM servers_server")]


@pytest.mark.slow
@pytest.mark.archives
@pytest.mark.timeout(300)
def test_the_services_run_and_a_game_runs_in_the_worker(containers):
    assert containers.start("migrate").wait(120) == 0, containers.said()
    assert not healthy(containers)
    for name in ("web", "worker", "beat"):
        containers.start(name)
    deadline = time.monotonic() + 120
    while not (listens(containers.port) and healthy(containers)):
        assert time.monotonic() < deadline, containers.said()
        time.sleep(0.1)
    seeded = containers.run("web", "python", "manage.py", "seed_demo")
    assert "sign in as demo" in seeded.stdout, seeded.stderr
    while (seen := states(containers)) != ["running", "running"]:
        assert time.monotonic() < deadline, f"{seen} {containers.said()}"
        time.sleep(0.1)
