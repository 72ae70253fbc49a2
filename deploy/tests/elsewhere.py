"""The life of a machine that gets another name, another key, and in the end another machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.tests.acceptance import Life
from deploy.tests.machines import ORIGIN, Machine

# Names that machines are reached by, with certificates of Caddy's own authority.
ONE, TWO, OTHER = "one.left4me.test", "two.left4me.test", "other.left4me.test"
_AUTHORITY: Final = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"


class Elsewhere(Life):
    """The steps in order; `another` boots the other machine."""

    steps = (
        "install",
        "create_admin",
        "start_a_server",
        "serve_under_a_name",
        "rotate_the_key",
        "restore_under_another_name",
    )
    usual = steps

    def __init__(
        self, machine: Machine, *, told: Callable[[str, float], None], another: Callable[[], Machine]
    ) -> None:
        super().__init__(machine, database="sqlite", told=told)
        self._another = another

    def serve_under_a_name(self) -> None:
        """A domain with Caddy, then another in its place: links follow, and the game does not notice."""
        pid = self.game_pid()
        self._listen_for_alerts()
        for name, before in ((ONE, None), (TWO, ONE)):
            self.install_under(name)
            self.expect_served(name, instead_of=before)
            assert self.game_pid() == pid

    def rotate_the_key(self) -> None:
        """Twice, with a game running; the second time the old key is forgotten. All secrets stay readable."""
        pid = self.game_pid()
        for option in ("", " --forget-old"):
            with self.visitors() as failed:
                said = self.ctl(f"keys rotate{option}")
                self.expect_ready()
            assert failed() == 0
            assert "Not readable" not in said, said
            assert self.game_pid() == pid
            self.expect_content()
            assert "map" in self.client("order", self.server, "status")["output"]
        # The address of the webhook is encrypted too.
        self.expect_alert_from(TWO)
        self.client("act", self.server, "restart")
        self.client("wait", self.server, "running", 60)

    def restore_under_another_name(self) -> None:
        """On a machine of its own, which was installed with that name, and is given one more afterwards."""
        self.ctl("backup --to /root/moved.tar")
        there = Elsewhere(self._another(), told=self._told, another=self._another)
        self._carry("/root/moved.tar", "/root/token", "/root/inside", ORIGIN, to=there.machine)
        there.machine.sh(f"git clone --quiet {ORIGIN} /root/left4me")
        there.install_under(OTHER)
        assert f"keeps its own address, https://{OTHER}" in there.ctl("restore --yes /root/moved.tar")
        there.server = self.server
        there.expect_game()
        there.listen()
        there.expect_served(OTHER, instead_of=None)
        there.install_under(ONE)
        there.expect_served(ONE, instead_of=OTHER)
        there.expect_game()

    def _carry(self, *paths: str, to: Machine) -> None:
        for path in paths:
            with tempfile.TemporaryDirectory() as place:
                taken = Path(place, "taken")
                self.machine.get(path, taken)
                to.sh(f"rm -rf {path}")
                to.cp(taken, path)
                if taken.is_dir():
                    shutil.rmtree(taken)

    def install_under(self, name: str) -> None:
        self.machine.sh(f"grep -q {name} /etc/hosts || echo 127.0.0.1 {name} >>/etc/hosts")
        self.machine.sh(f"/root/left4me/deploy/install --game simulated --domain {name} --tls internal")
        self.expect_ready()

    def expect_served(self, name: str, *, instead_of: str | None) -> None:
        """Pages, cookies, links in alerts, a sign-in and the doctor know this name, and none the one before."""
        page = f"curl --silent --fail --cacert {_AUTHORITY} --max-time 20 --include https://{name}/accounts/login/"
        self.until(f"https://{name}", lambda: self.machine.sh(page, check=False).status == 0)
        assert "Secure" in self.machine.sh(page).output
        self.machine.sh(f"python3 /root/inside/sign_in.py https://{name} {_AUTHORITY}")
        self.expect_alert_from(name)
        if instead_of:
            assert self.machine.sh(page.replace(name, instead_of), check=False).status != 0
            old = f"curl --silent --output /dev/null --write-out '%{{http_code}}' -H 'Host: {instead_of}'"
            assert self.machine.sh(f"{old} http://127.0.0.1:8000/accounts/login/").output == "400"
            left = self.machine.sh(f"grep -rl {instead_of} /etc/left4me /etc/caddy", check=False)
            assert left.output == "", left.output
        self.expect_content()

    def expect_alert_from(self, name: str) -> None:
        self.machine.sh("rm -f /root/alerts")
        self.client("test_channel")
        self.until("the alert", lambda: self.machine.sh("test -s /root/alerts", check=False).status == 0)
        alert = self.machine.sh("cat /root/alerts").output
        assert f"https://{name}/" in alert, alert

    def expect_content(self) -> None:
        """The doctor has no fault to tell."""
        found = json.loads(self.machine.sh("left4mectl doctor --json", check=False).output)
        assert [each for each in found if each["level"] == "fault"] == []
