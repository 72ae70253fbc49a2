"""The life of a second machine, from joining to a network cut and after it, for the suite and `bench/two-hosts`."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deploy.tests import docs
from deploy.tests.acceptance import ORIGIN, PASSWORD
from left4me.core.processes import commands
from left4me.testing.testhost import Testhost, machine_of

FIRST, SECOND = "10.77.0.1", "10.77.0.2"
HOST = "two"
CUT_SECONDS = 60.0
# From the server.cfg of the overlay: the game must report it.
WORD = "from the overlay"


class Line:
    """Two network namespaces joined by a cable. Each has one address and reaches nothing else of this machine."""

    def __init__(self, name: str) -> None:
        self.spaces = (f"{name}-1", f"{name}-2")
        self._ends = ("l4m0", "l4m1")

    def lay(self) -> None:
        for space in self.spaces:
            _ip("netns", "add", space)
        (one, two), (first, second) = self.spaces, self._ends
        _ip("link", "add", first, "netns", one, "type", "veth", "peer", "name", second, "netns", two)
        for space, end, address in zip(self.spaces, self._ends, (FIRST, SECOND), strict=True):
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", end)
            for device in ("lo", end):
                _ip("-n", space, "link", "set", device, "up")

    def take_away(self) -> None:
        for space in self.spaces:
            _ip("netns", "del", space, check=False)

    @contextmanager
    def cut(self) -> Iterator[None]:
        _ip("-n", self.spaces[1], "link", "set", self._ends[1], "down")
        try:
            yield
        finally:
            _ip("-n", self.spaces[1], "link", "set", self._ends[1], "up")


def _ip(*words: str, check: bool = True) -> None:
    commands.run(["ip", *words], timeout=30, check=check)


@contextmanager
def on_two_machines(name: str, *, told: Callable[[str, float], None]) -> Iterator[TwoHosts]:
    """Two fresh machines and the cable between them."""
    with joined_by(Line(name), name) as hosts:
        yield TwoHosts(*hosts, told=told)


@contextmanager
def joined_by(line: Line, name: str) -> Iterator[tuple[Testhost, Testhost, Line]]:
    """Two fresh machines at the ends of this cable."""
    nets = [f"/run/netns/{space}" for space in line.spaces]
    hosts = [Testhost(f"{name}-{number}", kind="deploy", net=net) for number, net in enumerate(nets, 1)]
    try:
        line.lay()
        for host, net in zip(hosts, nets, strict=True):
            machine_of(host.name, net=net)
        yield hosts[0], hosts[1], line
    finally:
        for host in hosts:
            host.down()
        line.take_away()


class TwoHosts:
    """The steps in order. Each asserts what it promises; `told` is called with names and durations."""

    def __init__(self, first: Testhost, second: Testhost, line: Line, *, told: Callable[[str, float], None]) -> None:
        self.first, self.second, self.line = first, second, line
        self._told = told
        self.server = self.host = self.overlay = 0
        self._url = ""
        self._document = [each for each in docs.commands_of(docs.FOLDER / "second-host.md") if each.place != "on-desk"]

    def live(self) -> None:
        for step in self.steps():
            began = time.monotonic()
            step()
            self._told(step.__name__.replace("_", " "), time.monotonic() - began)

    def steps(self) -> tuple[Callable[[], None], ...]:
        """The steps of the life, in their order."""
        return (
            self.install_the_first,
            self.admit_the_second,
            self.join,
            self.install_it_again_there,
            self.install_the_game_there,
            self.lay_an_overlay,
            self.start_a_server_there,
            self.poll_it,
            self.see_the_overlay_in_it,
            self.watch_its_log,
            self.change_one_small_file,
            self.write_into_it,
            self.move_it_to_the_first,
            self.move_it_back,
            self.copy_it_to_the_first,
            self.cut_the_line,
            self.replace_its_credentials,
            self.refuse_what_is_not_its_business,
            self.delete_the_overlay,
            self.take_it_back,
            self.lose_a_third,
            self.purge_the_first,
        )

    # --- the steps ---

    def install_the_first(self) -> None:
        self.first.sh(f"git clone --quiet {ORIGIN} /root/left4me")
        self.first.sh("/root/left4me/deploy/install --game simulated --database postgres")
        create = "left4mectl manage create_user anna --admin --password-stdin"
        self.first.sh(f"echo {shlex.quote(PASSWORD)} | {create}")
        made = self.first.sh("left4mectl manage create_token anna --name acceptance --scope admin 2>/dev/null")
        token = made.output.strip().splitlines()[-1]
        headers = f"Authorization: Bearer {token}\nContent-Type: application/json\nHost: 127.0.0.1\n"
        self.first.write("/root/headers", headers)
        self.until("/ready", lambda: self.first.sh(f"{_CURL} --fail {_URL}/ready", check=False).status == 0)

    def admit_the_second(self) -> None:
        self._url = self.typed("left4mectl host add").strip().splitlines()[-1]
        assert self._url.startswith("left4me://join/")
        assert "never connected" in self.first.sh("left4mectl host list").output
        again = self.first.sh(f"left4mectl host add {HOST} --address {FIRST} --from {SECOND}/32 --dry-run 2>&1").output
        assert again.strip() == "", f"what is done would be done again: {again}"

    def join(self) -> None:
        self.typed("git clone")
        assert "runs servers as “two”" in self.typed("/root/left4me/deploy/install --worker-only")
        self.until("the second host's report", lambda: not self.host_row()["is_down"])
        assert "up" in self.typed("left4mectl host list").partition(HOST)[2].splitlines()[0]
        units = self.second.sh("systemctl list-units --plain --no-legend 'left4me-*'").output
        assert "left4me-worker" in units
        assert not any(name in units for name in ("left4me-web", "left4me-beat", "left4me-redis"))
        assert self.host_row()["release_note"] == ""
        self.host = self.host_row()["id"]

    def install_it_again_there(self) -> None:
        """The cure that the doctor names for a unit that is missing: without options it must not become a web."""
        unit = "/etc/systemd/system/left4me-worker.service"
        self.second.sh(f"systemctl disable --now --quiet left4me-worker; rm {unit}; systemctl daemon-reload")
        assert "not installed" in self.second.sh("left4mectl doctor", check=False).output
        self.second.sh("/root/left4me/deploy/install")
        assert self.second.sh("systemctl is-active left4me-worker").output.strip() == "active"
        assert "postgresql" not in self.second.sh("systemctl list-units --plain --no-legend").output
        examined = json.loads(self.second.sh("left4mectl doctor --json", check=False).output)
        assert [finding for finding in examined if finding["level"] == "fault"] == []

    def install_the_game_there(self) -> None:
        self.finish(self.call("POST", f"/hosts/{self.host}/actions", {"operation": "install"}))

    def lay_an_overlay(self) -> None:
        """Put files on the first machine only, as an admin would."""
        made = self.call("POST", "/overlays", {"name": "rules", "is_system": True, "expose_cfg": True})
        self.overlay = made["id"]
        self.write_overlay("left4dead2/cfg/server.cfg", f'hostname "{WORD}"\n')
        self.first.sh(f"head -c 20000000 /dev/urandom >/var/lib/left4me/overlays/{self.overlay}/large.bin")
        self.build()

    def start_a_server_there(self) -> None:
        config = ["sim_players 2"]
        blueprint = {"name": "there", "arguments": ["+map c2m1_highway"], "config": config, "overlays": [self.overlay]}
        blueprint_id = self.call("POST", "/blueprints", blueprint)["id"]
        made = self.call("POST", "/servers", {"name": "there", "blueprint_id": blueprint_id, "host": HOST})
        self.server = made["id"]
        log = self.finish(self.act("start"))
        assert any("to download: 2 files" in line for line in log), log
        assert self.call("GET", f"/servers/{self.server}")["actual_state"] == "running"
        assert self.second.sh(f"systemctl is-active left4me-server@{self.server}").output.strip() == "active"
        (copy,) = self.call("GET", f"/overlays/{self.overlay}/copies")
        assert (copy["host"], copy["is_whole"]) == (HOST, True)

    def poll_it(self) -> None:
        self.until("players", lambda: self.live_state()["players"] == 2)
        assert self.live_state()["map"] == "c2m1_highway"

    def see_the_overlay_in_it(self) -> None:
        assert WORD in self.ask_the_game("hostname")

    def watch_its_log(self) -> None:
        with self.watching() as heard:
            self.ask_the_game("say hello over there")
            self.until("the line in the stream", lambda: "hello over there" in heard())

    def change_one_small_file(self) -> None:
        self.write_overlay("left4dead2/cfg/server.cfg", f'hostname "{WORD}, again"\n')
        self.build()
        # The running game is left alone.
        mounted = f"cat /proc/$(systemctl show --value -p MainPID left4me-server@{self.server})/cmdline"
        assert self.second.sh(mounted).output
        assert self.call("GET", f"/servers/{self.server}")["restart_needed"]
        log = self.finish(self.act("restart"))
        assert any("to download: 1 files" in line for line in log), log
        assert f"{WORD}, again" in self.ask_the_game("hostname")

    def write_into_it(self) -> None:
        """A large file that a running game wrote, and a file of the game that is deleted."""
        self.ask_the_game("sim_dump")
        tree = f"/proc/{self.game_process(self.second)}/root/game/left4dead2"
        # Only the game itself can create files there.
        self.second.sh(f"set -e; head -c 200000000 /dev/urandom >>$(echo {tree}/crash-*.dmp); rm {tree}/motd.txt")

    def move_it_to_the_first(self) -> None:
        local = next(host for host in self.call("GET", "/hosts")["items"] if host["name"] == "local")
        self.finish(self.call("POST", f"/hosts/{local['id']}/actions", {"operation": "install"}))
        self.until("the report of the game", lambda: self.target_of_a_move("local")["obstacle"] == "")
        self.move("local", self.second, self.first)

    def move_it_back(self) -> None:
        self.move(HOST, self.first, self.second)

    def move(self, name: str, old: Testhost, new: Testhost) -> None:
        """The server moves while it runs: what it wrote is the same there by its hashes, and it runs again."""
        upper = f"/var/lib/left4me/servers/{self.server}"
        before = self.written(old)
        began = time.monotonic()
        self.finish(self.call("POST", f"/servers/{self.server}/move", {"host": name}))
        self._told(f"  its files are sent to {name} after", time.monotonic() - began)
        path = f"/servers/{self.server}"
        self.until("the new host", lambda: self.call("GET", path)["host"] == name)
        self.until("the game", lambda: self.call("GET", path)["actual_state"] == "running", seconds=90)
        self._told("  it plays there after", time.monotonic() - began)
        assert self.written(new) == before
        assert new.sh(f"stat -c %F {upper}/upper/left4dead2/motd.txt").output.strip() == "character special file"
        shown = f"/proc/{self.game_process(new)}/root/game/left4dead2"
        assert new.sh(f"ls {shown}/motd.txt", check=False).status != 0, "the deleted file is back"
        assert new.sh(f"ls {shown}/crash-*.dmp").status == 0
        assert WORD in self.ask_the_game("hostname")
        self.until("the old files' end", lambda: old.sh(f"test ! -e {upper}", check=False).status == 0)
        assert self.first.sh("ls /var/lib/left4me/transfers").output.strip() == ""

    def copy_it_to_the_first(self) -> None:
        """Its files are sent while it plays, and the second time only what has changed of them."""
        pid = self.game()
        # Unless beat has asked for the first copy of it already, as it does for new servers.
        first = 0 if self._copied_at(self.host) else 200_000_000
        for least, most in ((first, 300_000_000), (0, 20_000_000)):
            jobs = re.findall(r"Job (\d+) copies server:\d+", self._copied())
            for job in jobs:
                self.finish({"id": int(job), "operation": "copy_files"})
            (copy,) = self.call("GET", f"/hosts/{self.host}/copies")["items"]
            assert least <= copy["sent"] <= most and copy["size"] > 200_000_000, copy
            assert copy["left_out"] == 0 and not copy["is_late"]
        assert self.game() == pid

    def _copied(self) -> str:
        """What the command says; it is in the document once."""
        if any(each.text.startswith("left4mectl manage copy_servers") for each in self._document):
            return self.typed("left4mectl manage copy_servers")
        return self.first.sh(f"left4mectl manage copy_servers {HOST}").output

    def written(self, host: Testhost) -> str:
        """The hash of the file in the server's own layer."""
        upper = f"/var/lib/left4me/servers/{self.server}/upper/left4dead2"
        return str(host.sh(f"cd {upper}; sha256sum crash-*.dmp").output)

    def target_of_a_move(self, name: str) -> Any:
        return next(each for each in self.call("GET", f"/servers/{self.server}/move") if each["host"] == name)

    def cut_the_line(self) -> None:
        """Jobs wait, the viewer reconnects and the game runs on while the host is unreachable for a minute."""
        pid = self.game()
        with self.watching() as heard:
            with self.line.cut():
                cut_at = time.monotonic()
                began = time.monotonic()
                self.until("down", lambda: self.host_row()["is_down"], seconds=CUT_SECONDS)
                self._told("  it shows as down after", time.monotonic() - began)
                assert self.host_row()["silent_since"]
                assert self.call("GET", f"/servers/{self.server}")["actual_state"] == "unknown"
                waiting = [self.act("restart"), self.call("POST", f"/hosts/{self.host}/actions", _REPAIR)]
                for job in waiting:
                    assert job["state"] == "queued"
                    assert job["waiting_for"].startswith(f"Waiting for host {HOST}: offline since")
                # Jobs of the first host do not wait for it.
                began = time.monotonic()
                self.build()
                self._told("  a build on the first host meanwhile", time.monotonic() - began)
                assert self.game() == pid
                time.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - cut_at)))
            began = time.monotonic()
            self.until("up again", lambda: not self.host_row()["is_down"], seconds=90)
            self._told("  it shows as up again after", time.monotonic() - began)
            for job in waiting:
                self.finish(job)
            self._told("  what waited is done after", time.monotonic() - began)
            self.until("running", lambda: self.call("GET", f"/servers/{self.server}")["actual_state"] == "running")
            self.ask_the_game("say here again")
            self.until("the line in the old stream", lambda: "here again" in heard())
        live = self.call("GET", "/jobs?whose=all&state=live")
        assert live["count"] == 0, live
        failed = self.call("GET", "/jobs?whose=all&state=failed")
        assert failed["count"] == 0, failed

    def replace_its_credentials(self) -> None:
        """All secrets of the second machine end at once; the game runs on, and the new ones need one command there."""
        pid, before = self.game(), self.second.sh("cat /etc/left4me/secrets.env").output
        assert self._redis("ACL LOG") == ""
        self._url = self.typed("left4mectl host rekey").strip().splitlines()[-1]
        assert self.second.sh("left4mectl manage list_hosts", check=False).status != 0, "the old password still works"
        assert "runs servers as “two” again" in self.typed("left4mectl host join")
        # In between, its worker was turned away with its old password.
        assert set(re.findall(r"reason\n(\w+)", self._redis("ACL LOG"))) <= {"auth"}
        self._redis("ACL LOG RESET")
        after = self.second.sh("cat /etc/left4me/secrets.env").output
        for name in ("LEFT4ME_SEALING_KEY", "LEFT4ME_HOST_TOKEN", "DATABASE_URL", "REDIS_URL"):
            values = [
                next(line for line in text.splitlines() if line.startswith(f"{name}=")) for text in (before, after)
            ]
            assert values[0] != values[1], name
        self.until("its report", lambda: not self.host_row()["is_down"])
        assert self.game() == pid
        # Polls and the console use the password that is encrypted with the new key.
        self.until("players", lambda: self.live_state()["players"] == 2)
        assert f"{WORD}, again" in self.ask_the_game("hostname")
        self.finish(self.act("restart"))
        examined = json.loads(self.second.sh("left4mectl doctor --json", check=False).output)
        assert [finding for finding in examined if finding["level"] == "fault"] == []

    def refuse_what_is_not_its_business(self) -> None:
        """The keys of the second machine must not allow what its worker never does."""
        refused = self._redis("ACL LOG")
        assert refused == "", f"Redis refused it: {refused}"
        denied = "grep -hE -A 1 'permission denied|row-level security' /var/log/postgresql/*.log"
        refused = self.first.sh(denied, check=False).output
        assert refused == "", f"PostgreSQL refused its worker: {refused}"
        script = """
            cd /opt/left4me/current
            exec .venv/bin/python - <<'END'
import psycopg, redis
values = dict(line.strip().split("=", 1) for line in open("/etc/left4me/secrets.env") if "=" in line)
url = values["DATABASE_URL"]
for statement in ("SELECT password FROM accounts_user", "SELECT * FROM servers_hosttoken", "CREATE TABLE x ()"):
    try:
        psycopg.connect(url).execute(statement)
        print("GOT", statement)
    except psycopg.errors.InsufficientPrivilege:
        pass
try:
    psycopg.connect(url.replace("sslmode=verify-full", "sslmode=disable"))
    print("GOT in without TLS")
except psycopg.OperationalError:
    pass
client = redis.Redis.from_url(values["REDIS_URL"])
foreign = (["LPUSH", "host.local", "x"], ["SET", ":1:undo:x", "x"])
for words in (["FLUSHALL"], ["CONFIG", "GET", "*"], *foreign, ["ACL", "LIST"], ["KEYS", "*"]):
    try:
        client.execute_command(*words)
        print("GOT", *words)
    except redis.exceptions.NoPermissionError:
        pass
print("done")
END
        """
        assert self.second.sh(script).output.strip() == "done"
        self._refuse_rows_of_the_first()
        login = "redis-cli -h {host} -p 6380 --tls --cacert /etc/left4me/central-ca.pem PING"
        assert "NOAUTH" in self.second.sh(login.format(host=FIRST), check=False).output

    def _redis(self, command: str) -> str:
        """What Redis answers on the first machine, to its own user."""
        password = "$(sed -n 's/^REDIS_URL=unix:..:\\(.*\\)@.*/\\1/p' /etc/left4me/secrets.env)"
        asked = f"P={password}; REDISCLI_AUTH=$P redis-cli -s /run/left4me/redis.sock {command}"
        return self.first.sh(asked).output.strip()

    def _refuse_rows_of_the_first(self) -> None:
        """The second neither sees a server of the first, nor opens its password, nor makes a job for it."""
        (blueprint,) = self.call("GET", "/blueprints")["items"]
        server = self.call("POST", "/servers", {"name": "here", "blueprint_id": blueprint["id"], "host": "local"})[
            "id"
        ]
        sealed = (
            "from servers.models import Server; "
            f"print(*(Server.objects.get(pk=pk).sealed_rcon_password for pk in ({self.server}, {server})))"
        )
        own, foreign = self._shell(self.first, sealed).split()
        assert own.startswith("host-") and ":" not in foreign
        opened = f"""
from left4me.core import secrets
from left4me.jobs.models import Job
from servers.models import Host, Server
print([s.pk for s in Server.objects.all()] == [{self.server}], [h.name for h in Host.objects.all()])
print(len(secrets.unseal("{own}")))
for text in ("{foreign}", "host-1.1:{foreign}"):
    try:
        secrets.unseal(text)
        print("GOT the password")
    except secrets.Unreadable:
        pass
for host, resource in (("local", "game"), ("two", "server:{server}")):
    try:
        Job.objects.create(operation="stop", resource=resource, host=host)
        print("GOT a job", host, resource)
    except Exception as fault:
        print("row-level security" in str(fault))
"""
        expected = ["True ['two']", "43", "True", "True"]
        assert self._shell(self.second, opened).strip().splitlines() == expected
        self.finish(self.call("POST", f"/servers/{server}/actions", {"operation": "delete"}))

    def _shell(self, machine: Testhost, script: str) -> str:
        return machine.sh(f"left4mectl manage shell --no-imports -c {shlex.quote(script)} 2>/dev/null").output

    def delete_the_overlay(self) -> None:
        self.finish(self.act("delete"))
        (blueprint,) = self.call("GET", "/blueprints")["items"]
        self.call("DELETE", f"/blueprints/{blueprint['id']}")
        self.call("DELETE", f"/overlays/{self.overlay}")
        gone = f"test ! -e /var/lib/left4me/overlay_copies/{self.overlay}"
        self.until("the copies' end", lambda: self.second.sh(gone, check=False).status == 0)

    def take_it_back(self) -> None:
        assert "is already running" in self.typed("left4mectl upgrade")
        assert "active" in self.typed("left4mectl status")
        assert "Removed host" in self.typed("left4mectl host remove")
        assert HOST not in [host["name"] for host in self.call("GET", "/hosts")["items"]]
        self.second.sh("systemctl stop left4me-worker")
        manage = "left4mectl manage list_hosts"
        assert self.second.sh(manage, check=False).status != 0, "its keys still open the database"

    def lose_a_third(self) -> None:
        """A machine that never answers again loses its access, and its server plays on where it was copied to."""
        invitation = self.first.sh(f"left4mectl host add three --address {FIRST} --from {SECOND}/32").output
        join = "/root/left4me/deploy/install --worker-only --game simulated --join"
        self.second.sh(f"{join} {shlex.quote(invitation.strip().splitlines()[-1])}")
        row = self.until_found("three", lambda row: not row["is_down"])
        if not row["game_version"]:
            self.finish(self.call("POST", f"/hosts/{row['id']}/actions", {"operation": "install"}))
        blueprint = {"name": "lost", "arguments": ["+map c2m1_highway"], "config": [], "overlays": []}
        blueprint_id = self.call("POST", "/blueprints", blueprint)["id"]
        made = self.call("POST", "/servers", {"name": "lost", "blueprint_id": blueprint_id, "host": "three"})
        self.server = made["id"]
        self.finish(self.act("start"))
        self.ask_the_game("sim_dump")
        before = self.written(self.second)
        self.come_night()
        self.until("the copy", lambda: self._copied_at(row["id"]))
        self.copy_what_is_there_now(row["id"])
        with self.line.cut():
            job = self.act("restart")
            told = self.typed("left4mectl host remove three --gone")
            assert not self._document, "commands of the document that nobody has typed"
            assert "Moved lost: local:" in told
            restores = re.search(r"Job (\d+) restores its files from the copy of", told)
            assert restores, told
            self.finish({"id": int(restores[1]), "operation": "restore_copy"})
            assert self.written(self.first) == before
            assert self.call("GET", f"/servers/{self.server}")["host"] == "local"
            self.finish(self.act("start"))
            shown = f"/proc/{self.game_process(self.first)}/root/game/left4dead2"
            assert self.first.sh(f"ls {shown}/crash-*.dmp").status == 0
        assert self.call("GET", f"/jobs/{job['id']}")["state"] == "cancelled"
        as_superuser = "cd /; setpriv --reuid=postgres --regid=postgres --init-groups"
        query = "SELECT rolname FROM pg_roles"
        roles = self.first.sh(f"{as_superuser} psql -At -c '{query}'").output
        assert "left4me_host_three" not in roles
        assert "host-three" not in self.first.sh("cat /etc/left4me-redis/users.acl").output

    def come_night(self) -> None:
        """What beat asks for every five minutes, in the first of them after two o'clock."""
        self._shell(self.first, "from servers import tasks; tasks.copy_due()")

    def _copied_at(self, host: int) -> str | None:
        """When the only server of a host was copied last."""
        (copy,) = self.call("GET", f"/hosts/{host}/copies")["items"]
        return str(copy["copied_at"]) if copy["copied_at"] else None

    def copy_what_is_there_now(self, host: int) -> None:
        """Copy the only server of a host once more: beat may have asked for the copy of it before it wrote anything.

        A request that meets a copy which is about to end gets that one, so the next one may be needed.
        """
        before = self._copied_at(host)
        while self._copied_at(host) == before:
            for job in self.call("POST", f"/hosts/{host}/copies"):
                self.finish(job)

    def until_found(self, name: str, is_right: Callable[[Any], bool]) -> Any:
        """The row of a host, when it is as it should be."""

        def found() -> Any:
            rows = self.call("GET", "/hosts")["items"]
            return next((row for row in rows if row["name"] == name and is_right(row)), None)

        self.until(f"host {name}", found)
        return found()

    def purge_the_first(self) -> None:
        # The local address is the fourth column; that of the peer is always 0.0.0.0 or [::].
        listening = f"ss -ltnH | awk '{{print $4}}' | grep -c '^{FIRST}:\\|^0.0.0.0:\\|^\\*:'"
        assert self.first.sh(listening, check=False).output.strip() != "0"
        self.first.sh("/root/left4me/deploy/install --uninstall --purge")
        assert self.first.sh(listening, check=False).output.strip() == "0"
        query = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'left4me%'"
        asked = f'cd /; setpriv --reuid=postgres --regid=postgres --init-groups psql -At -c "{query}"'
        assert self.first.sh(asked).output.strip() == ""
        assert (
            "left4me" not in self.first.sh("cat /etc/postgresql/*/main/pg_hba.conf; ls /etc/postgresql/*/main").output
        )

    # --- helpers of the steps ---

    def typed(self, beginning: str) -> str:
        """Run the next command of docs/second-host.md on the machine that its block names; returns its output."""
        command = self._document.pop(0)
        assert command.text.startswith(beginning), f"{command.document}:{command.line}: {command.text}"
        script = command.script.replace("192.0.2.10", FIRST).replace("192.0.2.20", SECOND)
        script = script.replace("'URL'", shlex.quote(self._url))
        return (self.first if command.place == "on-web" else self.second).sh(script).output

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = "" if body is None else f"--data {shlex.quote(json.dumps(body))}"
        code = "--write-out '\\n%{http_code}'"
        said = self.first.sh(f"{_CURL} {code} -X {method} {data} '{_URL}/api/v1{path}'").output
        answer, _, status = said.strip().rpartition("\n")
        assert status.startswith("2"), f"{method} {path}: {said}"
        return json.loads(answer) if answer else None

    def act(self, operation: str) -> Any:
        return self.call("POST", f"/servers/{self.server}/actions", {"operation": operation})

    def finish(self, job: Any) -> list[str]:
        """Wait for a job; returns its log."""
        path = f"/jobs/{job['id']}"
        self.until(f"the end of {job['operation']}", lambda: self.call("GET", path)["finished_at"], seconds=90)
        lines = [line["line"] for line in self.call("GET", f"{path}/log")["items"]]
        assert self.call("GET", path)["state"] == "succeeded", lines
        return lines

    def build(self) -> None:
        self.finish(self.call("POST", f"/overlays/{self.overlay}/build"))

    def write_overlay(self, path: str, text: str) -> None:
        target = f"/var/lib/left4me/overlays/{self.overlay}/{path}"
        write = f"mkdir -p $(dirname {target}); printf %s {shlex.quote(text)} >{target}"
        self.first.sh(f"setpriv --reuid=left4me --regid=left4me --init-groups sh -c {shlex.quote(write)}")

    def host_row(self) -> Any:
        return next(host for host in self.call("GET", "/hosts")["items"] if host["name"] == HOST)

    def live_state(self) -> Any:
        return self.call("GET", f"/servers/{self.server}/live")

    def game(self) -> str:
        return self.second.sh(f"systemctl show --value -p MainPID left4me-server@{self.server}").output.strip()

    def game_process(self, host: Testhost) -> str:
        """The process id of the game itself."""
        script = f"""
            group=$(systemctl show --value --property=ControlGroup left4me-server@{self.server})
            for pid in $(cat "/sys/fs/cgroup$group/cgroup.procs"); do
              tr '\\0' ' ' <"/proc/$pid/cmdline" | grep -q -e '-port [0-9]' && echo "$pid" && break
            done
            true
        """
        found = host.sh(script).output.strip()
        assert found, "there is no game"
        return str(found)

    def ask_the_game(self, command: str) -> str:
        order = self.call("POST", f"/servers/{self.server}/orders", {"kind": "command", "value": command})
        path = f"/servers/{self.server}/orders/{order['id']}"
        self.until("the game's answer", lambda: self.call("GET", path)["state"] not in ("queued", "running"))
        return str(self.call("GET", path)["output"])

    @contextmanager
    def watching(self) -> Iterator[Callable[[], str]]:
        """Follow the server's log on the first machine; the yielded function returns what arrived."""
        stream = f"{_CURL} --no-buffer {_URL}/servers/{self.server}/logs/stream >/root/stream"
        self.first.sh(f"rm -f /root/stream; systemd-run --quiet --collect --unit=viewer sh -c {shlex.quote(stream)}")
        try:
            self.until("the stream", lambda: self.first.sh("test -s /root/stream", check=False).status == 0)
            yield lambda: self.first.sh("cat /root/stream").output
        finally:
            self.first.sh("systemctl stop viewer", check=False)

    def until(self, what: str, condition: Callable[[], object], *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
            time.sleep(0.2)


_CURL = "curl --silent --show-error --header @/root/headers"
_URL = "http://127.0.0.1:8000"
_REPAIR = {"operation": "repair_game"}
