"""Two machines that reach each other over IPv6 only."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from deploy.tests.machines import ORIGIN
from deploy.tests.two_hosts import HOST, Line, TwoHosts, joined_by
from left4me.core.processes import commands

WEB, WORKER, NETWORK = "2001:db8:77::1", "2001:db8:77::2", "2001:db8:77::/64"
_PORTS: Final = {"postgres": 5432, "redis-server": 6380, "python": 8443}


class LineOverIPv6(Line):
    """As the other, without any IPv4 but that of loopback."""

    def lay(self) -> None:
        super().lay()
        for space, end, address in zip(self.spaces, self._ends, (WEB, WORKER), strict=True):
            for words in (("flush", "dev", end, "scope", "global"), ("add", f"{address}/64", "dev", end, "nodad")):
                commands.run(["ip", "-n", space, "addr", *words], timeout=30)


class TwoHostsOverIPv6(TwoHosts):
    def steps(self) -> tuple[Callable[[], None], ...]:
        return (
            self.install_the_first,
            self.admit_the_second,
            self.join,
            self.install_the_game_there,
            self.lay_an_overlay,
            self.start_a_server_there,
            self.poll_it,
            self.see_the_overlay_in_it,
            self.watch_its_log,
        )

    def admit_the_second(self) -> None:
        add = f"left4mectl host add {HOST} --address {WEB} --public 192.0.2.20 --from {NETWORK}"
        self._url = self.first.sh(add).output.strip().splitlines()[-1]
        assert self.first.sh(f"{add} --dry-run 2>&1").output.strip() == "", "what is done would be done again"
        listening = self.first.sh("ss -ltnpH").output
        for program, port in _PORTS.items():
            assert any(f"[{WEB}]:{port}" in line and program in line for line in listening.splitlines()), listening

    def join(self) -> None:
        self.second.sh(f"git clone --quiet {ORIGIN} /root/left4me")
        join = f"/root/left4me/deploy/install --worker-only --game simulated --join {shlex.quote(self._url)}"
        assert "runs servers as “two”" in self.second.sh(join).output
        self.until("the second host's report", lambda: not self.host_row()["is_down"])
        self.host = self.host_row()["id"]


@contextmanager
def over_ipv6(name: str, *, told: Callable[[str, float], None]) -> Iterator[TwoHostsOverIPv6]:
    """Two fresh machines and the cable between them."""
    with joined_by(LineOverIPv6(name), name) as hosts:
        yield TwoHostsOverIPv6(*hosts, told=told)
