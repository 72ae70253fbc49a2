"""Creates answers to `status`, and the status parsed from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from livestate.status import Status, parse_status


@dataclass(frozen=True)
class Person:
    account: int
    seconds: int = 60
    ping: int = 40
    name: str = "Zoey"
    state: str = "active"

    @property
    def steam_id_64(self) -> int:
        return 76561197960265728 + self.account


def status_text(
    people: Iterable[Person] = (),
    *,
    map_name: str = "c1m1_hotel",
    most: int = 8,
    bots: int = 0,
    hibernating: bool = False,
    hostname: str = "left4me",
) -> str:
    people = list(people)
    asleep = "hibernating" if hibernating else "not hibernating"
    lines = [
        f"hostname: {hostname}",
        "version : 2.2.4.3 10097 secure  (unknown)",
        "udp/ip  : 127.0.0.1:27015 [ public same ]",
        "os      : Linux Dedicated",
        f"map     : {map_name}",
        f"players : {len(people)} humans, 0 bots ({most} max) ({asleep}) (unreserved)",
        "",
        "# userid name uniqueid connected ping loss state rate adr",
    ]
    for number, person in enumerate(people, start=1):
        hours, rest = divmod(person.seconds, 3600)
        connected = f"{rest // 60:02}:{rest % 60:02}"
        if hours:
            connected = f"{hours:2}:{connected}"
        lines.append(
            f'# {number + 1:2} {number} "{person.name}" STEAM_1:{person.account % 2}:{person.account // 2} '
            f"{connected} {person.ping} 0 {person.state} 30000 192.0.2.1:27005"
        )
    lines += [f'#{number + 90} "Bot" BOT active' for number in range(bots)]
    return "\n".join([*lines, "#end", ""])


def status(people: Iterable[Person] = (), **details: object) -> Status:
    return parse_status(status_text(people, **details))  # type: ignore[arg-type]
