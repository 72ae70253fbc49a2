"""The life of a machine from installation to removal, as steps that the suite and `bench/deploy` run."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.tests import publisher
from deploy.tests.machines import INSIDE, ORIGIN, Machine, at_origin

PASSWORD = "a long passphrase"
STEPS = (
    "install",
    "look_at_the_database",
    "install_an_archive",
    "create_admin",
    "start_a_server",
    "read_its_log",
    "kill_the_game",
    "exhaust_it",
    "reboot",
    "upgrade",
    "upgrade_with_a_migration",
    "upgrade_that_fails",
    "upgrades_cut_off",
    "go_back",
    "back_up_wipe_and_restore",
    "restores_that_fail",
    "move_to_postgres",
    "upgrade_to_an_archive",
    "refuse_archives",
    "from_archives_to_git_and_back",
    "uninstall",
)
# The steps that depend on the database, which are repeated on PostgreSQL.
WITH_DATABASE = (
    "install",
    "look_at_the_database",
    "create_admin",
    "start_a_server",
    "upgrade_with_a_migration",
    "upgrade_that_fails",
    "back_up_wipe_and_restore",
    "restores_that_fail",
    "uninstall",
)
WITH_A_MOVE = ("install", "create_admin", "start_a_server", "move_to_postgres")
# Of a machine that has no git repository in the beginning.
WITH_ARCHIVES = (
    "install_an_archive",
    "create_admin",
    "start_a_server",
    "upgrade_to_an_archive",
    "refuse_archives",
    "from_archives_to_git_and_back",
)
WITHOUT_A_MOVE = tuple(
    step
    for step in STEPS
    if step not in ("look_at_the_database", "move_to_postgres", *WITH_ARCHIVES) or step in WITH_A_MOVE[:3]
)
# The whole life of a machine that was installed from a git repository.
LIFE = tuple(step for step in STEPS if step in WITHOUT_A_MOVE or step == "move_to_postgres")


class Life:
    """The steps in order. Each asserts what it promises; `told` is called with its name and its duration."""

    steps: tuple[str, ...] = STEPS
    usual: tuple[str, ...] = LIFE

    def __init__(self, machine: Machine, *, database: str, told: Callable[[str, float], None]) -> None:
        self.machine = machine
        self.database = database
        self._told = told
        self.server = 0
        self.page = "/accounts/login/"

    def live(self, only: Sequence[str] = ()) -> None:
        """The usual steps, or those named `only`, in the order of all."""
        for name in self.steps:
            if name in (only or self.usual):
                began = time.monotonic()
                getattr(self, name)()
                self._told(name.replace("_", " "), time.monotonic() - began)

    def install(self) -> None:
        self.machine.cp(INSIDE, "/root/inside")
        self.machine.sh(f"rm -rf /root/left4me; git clone --quiet {ORIGIN} /root/left4me")
        self._install()
        self.expect_ready()

    def _install(self) -> None:
        self.machine.sh(f"/root/left4me/deploy/install --game simulated --database {self.database}")

    def look_at_the_database(self) -> None:
        """PostgreSQL's: it is taken up again, its password is in one file, and its role may do nothing else."""
        again = self.machine.sh("/root/left4me/deploy/install --database postgres").output
        assert "Nothing to do" in again, again
        assert "database: postgresql, migrations applied" in self.machine.sh("left4mectl doctor", check=False).output
        counted = "grep -c '^DATABASE_URL=postgres://left4me:.*@127.0.0.1:' /etc/left4me/secrets.env"
        assert self.machine.sh(counted).output == "1"
        assert self.machine.sh("grep -c ^DATABASE_URL= /etc/left4me/left4me.env", check=False).output == "0"
        role = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'left4me'"
        assert self._asked_as_postgres(role) == "f"

    def create_admin(self) -> None:
        create = "left4mectl manage create_user anna --admin --password-stdin"
        self.machine.sh(f"echo {shlex.quote(PASSWORD)} | {create}")
        self.machine.sh(
            "umask 077; left4mectl manage create_token anna --name acceptance --scope admin 2>/dev/null >/root/token"
        )

    def start_a_server(self) -> None:
        self.server = self.client("make")["id"]
        self.client("act", self.server, "start")
        assert self.client("wait", self.server, "running", 30)["desired_state"] == "running"
        assert self.unit("ActiveState") == "active"

    def read_its_log(self) -> None:
        """The line passes from the journal through the worker and Redis to a stream of the web."""
        with self.running("sleep 1; left4mectl manage version >/dev/null 2>&1; true"):
            lines = self.client("log", self.server, 6)
        assert any("c2m1_highway" in line or "player" in line.lower() for line in lines), lines

    def kill_the_game(self) -> None:
        before = self.game_pid()
        self.kill_game()
        self.until("another game", lambda: self.game_pid(wanted=False) not in ("", before))
        self.client("wait", self.server, "running", 60)

    def exhaust_it(self) -> None:
        self._listen_for_alerts()
        for _ in range(8):
            if self.unit("ActiveState") == "failed":
                break
            self.kill_game()
            self.until("the unit starts again or has given up", self._has_a_game_or_gave_up)
        assert self.unit("ActiveState") == "failed"
        found = self.client("wait", self.server, "gave_up", 60)
        assert found["last_error"]
        told = "grep -c gave_up /root/alerts"
        self.until("the alert", lambda: self.machine.sh(told, check=False).status == 0, seconds=60)
        self.client("act", self.server, "start")
        self.client("wait", self.server, "running", 30)

    def _listen_for_alerts(self) -> None:
        """Make a channel to a receiver on this machine, whose address the settings must allow."""
        self.machine.sh("echo LEFT4ME_ALERT_ORIGINS=http://127.0.0.1:9000 >>/etc/left4me/left4me.env")
        self.machine.sh("systemctl restart left4me-web left4me-worker left4me-beat")
        self.listen()
        self.expect_ready()
        self.client("channel", "http://127.0.0.1:9000/hook")

    def listen(self) -> None:
        """Take what webhooks send; it is collected in /root/alerts."""
        self.machine.sh("rm -f /root/alerts; systemd-run --quiet --unit=receiver python3 /root/inside/receiver.py")

    def _has_a_game_or_gave_up(self) -> bool:
        return self.unit("ActiveState") in ("active", "failed")

    def reboot(self) -> None:
        """The server starts again after the boot, because it should run."""
        self.machine.reboot()
        self.expect_ready()
        self.expect_game()

    def expect_game(self) -> None:
        # The unit first: the state on record may still be that of before.
        self.until("the server's unit", lambda: self.unit("ActiveState") == "active", seconds=90)
        self.client("wait", self.server, "running", 60)

    def upgrade(self) -> None:
        self.commit("CHANGELOG.md", "- Something new.", append=True)
        old, pid = self.release(), self.game_pid()
        with self.visitors() as visited:
            told = self.ctl("upgrade")
        assert "Something new." in told, told
        self.expect_release_after(old)
        assert self.game_pid() == pid
        assert visited() == 0

    def upgrade_with_a_migration(self) -> None:
        self.commit(*_migration("0901_first", "first_table"))
        old, pid = self.release(), self.game_pid()
        with self.visitors() as visited:
            self.ctl("upgrade")
        self.expect_release_after(old)
        assert self.has_table("first_table")
        assert self.game_pid() == pid
        assert visited() == 0

    def upgrade_that_fails(self) -> None:
        """The new release migrates the database, but never becomes ready."""
        self.commit(*_migration("0902_second", "second_table"))
        self.commit("left4me/site/pulse.py", _NEVER_FRESH, append=True)
        old, pid = self.release(), self.game_pid()
        with self.visitors() as visited:
            told = self.ctl("upgrade --ready-seconds 15", fails=True)
        assert "runs again with its database as it was" in told, told
        assert self.release() == old
        assert not self.has_table("second_table")
        assert self.game_pid() == pid
        assert visited() == 0
        self.expect_ready()
        self.machine.sh(at_origin("git revert --no-edit HEAD"))

    def upgrades_cut_off(self) -> None:
        """An upgrade killed in any phase is taken back by the next command or at boot."""
        old, pid = self.release(), self.game_pid()
        for phase, by in (("stopping", "recover"), ("changing", "recover"), ("starting", "recover")):
            self.cut_off("upgrade", f'"phase": "{phase}"')
            self.ctl(by)
            assert self.release() == old
            assert not self.has_table("second_table")
            assert self.game_pid() == pid
            self.expect_ready()
        self.cut_off("upgrade", '"phase": "changing"')
        self.machine.reboot()
        self.expect_ready()
        assert self.release() == old
        assert not self.has_table("second_table")
        self.expect_game()
        self.ctl("upgrade")
        self.expect_release_after(old)
        assert self.has_table("second_table")

    def move_to_postgres(self) -> None:
        """With a game and visitors; a move that fails leaves everything as it was. Then back, and there again."""
        pid = self.game_pid()
        rows = self._rows()
        with self.visitors() as failed:
            said = self.ctl("database move postgres --ready-seconds 0", fails=True)
            assert "The old database is in use" in said
            self.expect_ready()
            assert "sqlite" in self._vendor()
            assert "left4me.sqlite3.before-" in self.ctl("database move postgres")
            self.expect_ready()
        assert failed() == 0
        assert "postgresql" in self._vendor()
        assert self._rows() == rows
        assert self.game_pid() == pid
        assert "already" in self.ctl("database move postgres", fails=True)
        self.client("act", self.server, "restart")
        self.client("wait", self.server, "running", 60)
        assert "PostgreSQL database left4me" in self.ctl("database move sqlite")
        assert "sqlite" in self._vendor()
        assert self._rows() == rows

    def install_an_archive(self) -> None:
        """As docs/install.md says, without git; the folder is not needed afterwards."""
        self.machine.cp(INSIDE, "/root/inside")
        publisher.prepare(self.machine, cut=True)
        archive = publisher.publish(self.machine, "1.0.0")
        self.machine.sh(
            f"""set -e; mkdir /root/got && cd /root/got
            curl --fail --silent --remote-name-all {publisher.ADDRESS}/1.0.0/SHA256SUMS
            curl --fail --silent --retry 3 --retry-all-errors --remote-name-all {publisher.ADDRESS}/{archive}
            sha256sum --check --ignore-missing SHA256SUMS
            tar -xzf left4me-1.0.0.tar.gz
            left4me-1.0.0/deploy/install --game simulated --database {self.database}
            cd / && rm -r /root/got"""
        )
        self.expect_ready()
        self._expect_without_repository("1.0.0")
        assert "Nothing to do" in self.machine.sh("/opt/left4me/current/deploy/install").output

    def _expect_without_repository(self, version: str) -> None:
        self.machine.sh("test ! -e /opt/left4me/source.git")
        said = self.ctl("status")
        assert f"({version})" in said, said
        assert "follows  nothing" in said, said
        assert "--from FILE|URL" in self.ctl("upgrade", fails=True)
        found = json.loads(self.ctl("doctor --json"))
        assert not [each for each in found if each["level"] == "fault"], found

    def upgrade_to_an_archive(self) -> None:
        """Over https, signed, with a game and visitors. The first connection breaks off in the middle."""
        publisher.trust(self.machine)
        archive = publisher.publish(self.machine, "1.1.0")
        old, pid = self.release(), self.game_pid()
        with self.visitors() as visited:
            said = self.ctl(f"upgrade --from {publisher.ADDRESS}/{archive}")
        assert "signed by releases" in said, said
        assert "- Entry of 1.1.0." in said, said
        self.expect_release_after(old)
        assert self.game_pid() == pid
        assert visited() == 0
        self._expect_without_repository("1.1.0")

    def refuse_archives(self) -> None:
        """What was changed on the way, what nobody has signed, what is older: the machine stays as it is."""
        running, pid = self.release(), self.game_pid()
        self.machine.sh(
            f"""set -e; cd {publisher.FOLDER}
            cp -a 1.1.0 changed && printf x >>changed/left4me-1.1.0.tar.gz
            cp -a changed forged && cd forged && sha256sum *.gz *.json >SHA256SUMS
            cd .. && cp -a 1.1.0 unsigned && rm unsigned/SHA256SUMS.sig"""
        )
        for place, reason in (
            ("changed/left4me-1.1.0.tar.gz", "damaged, or not the one that was published"),
            ("forged/left4me-1.1.0.tar.gz", "not signed by anybody"),
            ("unsigned/left4me-1.1.0.tar.gz", "asks for a signature"),
            ("1.0.0/left4me-1.0.0.tar.gz", "is older than"),
        ):
            said = self.ctl(f"upgrade --from {publisher.ADDRESS}/{place}", fails=True)
            assert reason in said, said
        assert (self.release(), self.game_pid()) == (running, pid)
        self.expect_ready()

    def from_archives_to_git_and_back(self) -> None:
        pid, first = self.game_pid(), self.release()
        self.ctl("rollback")
        assert self.release() != first
        self.commit("CHANGELOG.md", "- Only in git.", append=True)
        assert "Only in git." in self.ctl(f"upgrade --repository {ORIGIN}")
        assert "follows  main" in self.ctl("status")
        in_git = self.release()
        archive = publisher.publish(self.machine, "1.2.0")
        self.ctl(f"upgrade --from {publisher.FOLDER}/{archive}")
        self.expect_release_after(in_git)
        assert "is already running" in self.ctl("upgrade"), "the same commit is the same release"
        self.commit("CHANGELOG.md", "- Newer.", append=True)
        self.ctl("upgrade")
        assert self.release() != in_git
        assert self.game_pid() == pid
        self.expect_ready()

    def _vendor(self) -> str:
        return self.ctl("manage shell -v0 -c 'from django.db import connection; print(connection.vendor)'")

    def _rows(self) -> str:
        """What must be the same before and after: rows that nothing writes meanwhile, with their keys."""
        queries = "from accounts.models import User, ApiToken; from servers.models import Server, Blueprint; "
        shown = "User.objects.order_by('pk').values_list('pk', 'username', 'password')"
        more = "Server.objects.order_by('pk').values_list('pk', 'name', 'port', 'sealed_rcon_password')"
        tokens = "ApiToken.objects.order_by('pk').values_list('pk', 'digest')"
        script = f"{queries}print(list({shown}), list({more}), list({tokens}), Blueprint.objects.count())"
        return self.ctl(f"manage shell -v0 -c {shlex.quote(script)}")

    def go_back(self) -> None:
        new = self.release()
        assert "--with-database" in self.ctl("rollback", fails=True)
        self.ctl("rollback --with-database")
        assert self.release() != new
        assert not self.has_table("second_table")
        self.expect_ready()

    def back_up_wipe_and_restore(self) -> None:
        self.machine.sh(f"echo kept >/var/lib/left4me/servers/{self.server}/upper/left4dead2/kept.txt")
        self.machine.sh(f"chown left4me: /var/lib/left4me/servers/{self.server}/upper/left4dead2/kept.txt")
        self.ctl("backup --to /root/whole.tar")
        self.machine.sh("/root/left4me/deploy/install --uninstall --purge")
        self.machine.sh("test ! -e /var/lib/left4me && test ! -e /etc/left4me")
        if self.database == "postgres":
            assert self._asked_as_postgres("SELECT count(*) FROM pg_database WHERE datname = 'left4me'") == "0"
        self._install()
        self.expect_ready()
        self.ctl("upgrade")  # the clone is older than the backup
        self.ctl("restore --yes /root/whole.tar")
        self.expect_game()
        kept = f"/var/lib/left4me/servers/{self.server}/upper/left4dead2/kept.txt"
        assert self.machine.sh(f"cat {kept}; stat -c %U {kept}").output.split() == ["kept", "left4me"]
        self.ctl("doctor --json >/root/doctor.json; cat /root/doctor.json")

    def restores_that_fail(self) -> None:
        """A truncated file, an application that does not become ready, and a kill in the middle lose no data."""
        pid = self.game_pid()
        self.ctl("backup --to /root/again.tar")
        self.machine.sh("head -c -1000 /root/again.tar >/root/cut.tar")
        assert "incomplete" in self.ctl("restore --yes /root/cut.tar", fails=True)
        assert self.game_pid() == pid
        self.machine.sh(f"echo {shlex.quote(PASSWORD)} | left4mectl manage create_user later --password-stdin")
        assert "all data is unchanged" in self.ctl("restore --yes --ready-seconds 0 /root/again.tar", fails=True)
        self.expect_user("later")
        self.cut_off("restore --yes /root/again.tar", '"database": true', journal="restore.json")
        self.ctl("recover")
        self.expect_user("later")
        self.expect_ready()
        self.machine.sh("rm /root/again.tar /root/cut.tar")

    def expect_user(self, name: str) -> None:
        self.ctl(f"manage create_token {name} --name proof >/dev/null")

    def uninstall(self) -> None:
        self.machine.sh("/root/left4me/deploy/install --uninstall")
        assert self.machine.sh("ls /etc/left4me/left4me.env /var/lib/left4me/servers /var/backups/left4me").output
        left = "find /etc/systemd /etc/polkit-1 /usr/local /opt /run -xdev -iname '*left4me*'"
        assert self.machine.sh(left).output.strip() == ""
        assert self.machine.sh("find /proc -maxdepth 1 -user left4me -name '[0-9]*'").output.strip() == ""

    # --- helpers of the steps ---

    def _asked_as_postgres(self, query: str) -> str:
        psql = "setpriv --reuid=postgres --regid=postgres --init-groups psql -tAc"
        return self.machine.sh(f'cd / && {psql} "{query}"').output.strip()

    def client(self, *words: object) -> Any:
        argv = shlex.join(["python3", "/root/inside/client.py", *map(str, words)])
        return json.loads(self.machine.sh(argv).output.strip().splitlines()[-1])

    def ctl(self, words: str, *, fails: bool = False) -> str:
        finished = self.machine.sh(f"left4mectl {words}", check=False)
        assert (finished.status != 0) == fails, f"left4mectl {words}: {finished.status}\n{finished.output}"
        return finished.output

    def expect_ready(self) -> None:
        ready = "curl --silent --fail --max-time 20 http://127.0.0.1:8000/ready"
        self.until("/ready", lambda: self.machine.sh(ready, check=False).status == 0, seconds=90)

    def until(self, what: str, condition: Callable[[], bool], *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
            time.sleep(0.2)

    def unit(self, name: str) -> str:
        show = f"systemctl show --value --property={name} left4me-server@{self.server}"
        return self.machine.sh(show).output.strip()

    def game_pid(self, *, wanted: bool = True) -> str:
        """The process id of the game itself: the process of the unit that was started with a port."""
        script = f"""
            group=$(systemctl show --value --property=ControlGroup left4me-server@{self.server})
            for pid in $(cat "/sys/fs/cgroup$group/cgroup.procs" 2>/dev/null); do
              tr '\\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -e '-port [0-9]' && echo "$pid"
            done
            true
        """
        found = self.machine.sh(script).output.strip()
        assert found or not wanted, "there is no game"
        return found

    def kill_game(self) -> None:
        self.until("the game", lambda: bool(self.game_pid(wanted=False)))
        self.machine.sh(f"kill -KILL {self.game_pid()}")
        time.sleep(0.5)

    def release(self) -> str:
        return Path(self.machine.sh("readlink /opt/left4me/current").output.strip()).name

    def expect_release_after(self, old: str) -> None:
        new = self.release()
        assert new != old
        assert self.machine.sh(at_origin("git log -1 --format=%h --abbrev=7")).output.strip() in new
        for unit in ("web", "worker", "beat"):
            cwd = f"readlink /proc/$(systemctl show --value --property=MainPID left4me-{unit})/cwd"
            assert self.machine.sh(cwd).output.strip().endswith(new), unit
        self.expect_ready()

    def has_table(self, name: str) -> bool:
        """Asks the database itself: a command of the application takes longer than all else of it."""
        counted = self.machine.sh(_COUNT_TABLES[self.database].format(name=name)).output.strip()
        return {"0": False, "1": True}[counted]

    def commit(self, path: str, text: str, *, append: bool = False) -> None:
        """Commit a change to the branch that the machine follows."""
        redirect = ">>" if append else ">"
        write = f"mkdir -p $(dirname {path}); cat {redirect} {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE\n"
        self.machine.sh(at_origin(f"{write}git add -A; git commit --quiet -m 'Change {path}'"))

    @contextmanager
    def running(self, script: str) -> Iterator[None]:
        """Run a script while the block runs."""
        self.machine.sh(f"systemd-run --quiet --collect --unit=beside sh -c {shlex.quote(script)}")
        try:
            yield
        finally:
            self.machine.sh("systemctl stop beside", check=False)

    @contextmanager
    def visitors(self) -> Iterator[Callable[[], int]]:
        """Make twenty requests a second while the block runs; the yielded function returns how many failed."""
        self.machine.sh("rm -f /root/stop /root/visited")
        loop = f"python3 /root/inside/visitors.py /root/stop {self.page} >/root/visited 2>&1"
        self.machine.sh(f"systemd-run --quiet --collect --unit=visitors sh -c {shlex.quote(loop)}")
        found: dict[str, Any] = {}
        try:
            yield lambda: self._failed(found)
        finally:
            self.machine.sh("touch /root/stop")
            gone = "! systemctl is-active --quiet visitors"
            self.until("the visitors' end", lambda: self.machine.sh(gone, check=False).status == 0, seconds=90)
            found |= json.loads(self.machine.sh("cat /root/visited").output.strip().splitlines()[-1])

    def _failed(self, found: dict[str, Any]) -> int:
        assert found["asked"] > 40, found
        self._told(f"  {found['asked']} visitors; the slowest waited", found["slowest"])
        assert not found["failed"], found
        return int(found["failed"])

    def cut_off(self, words: str, mark: str, *, journal: str = "upgrade.json") -> None:
        """Run `left4mectl` and kill it as soon as its journal contains `mark`."""
        script = f"""
            systemd-run --quiet --collect --unit=cut-off left4mectl {words}
            pid=$(systemctl show --value --property=MainPID cut-off)
            until grep -q '{mark}' /opt/left4me/{journal} 2>/dev/null; do
              kill -0 $pid || exit 3
              sleep 0.01  # without it, this loop would take a processor from what it waits for
            done
            kill -KILL $pid
        """
        self.machine.sh(script)
        self.machine.sh("systemctl stop cut-off", check=False)
        self.machine.sh(f"test -e /opt/left4me/{journal}")


_COUNT_TABLES = {
    "sqlite": """python3 -c 'import sqlite3
rows = sqlite3.connect("file:/var/lib/left4me/left4me.sqlite3?mode=ro", uri=True)
print(*rows.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", ["{name}"]).fetchone())'
""",
    "postgres": """cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql --dbname=left4me -tAc \
"SELECT count(*) FROM pg_tables WHERE tablename = '{name}'"
""",
}

_NEVER_FRESH = """

def read() -> Pulse:
    return Pulse(age=None, waiting=0)
"""


def _migration(name: str, table: str) -> tuple[str, str]:
    """The path and text of a migration that creates a table, as the latest of `servers`."""
    text = f"""
from pathlib import Path
from django.db import migrations

_before = sorted(p.stem for p in Path(__file__).parent.glob("0*.py") if p.stem < {name!r})[-1]


class Migration(migrations.Migration):
    dependencies = [("servers", _before)]
    operations = [migrations.RunSQL("CREATE TABLE {table} (id integer)", "DROP TABLE {table}")]
"""
    return f"servers/migrations/{name}.py", text
