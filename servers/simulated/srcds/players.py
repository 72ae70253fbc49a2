"""Players with their names, Steam ids, addresses and pings, and the list of those who are banned."""

from __future__ import annotations

import random
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .clock import Clock

STEAM_ID_64_BASE = 76561197960265728

# Invented. The hostile ones hold what breaks parsers and pages: quotes, markers, markup, blanks, bidi controls.
_PLAIN = (
    "Boomerbait|Zoeys Medkit|tank magnet|GnomeChompski|Hilltop Hank|pills here|Rochelle No|SaferoomSue|"
    "Kaltwasser|Überlebender|Márton|Łukasz|Снайпер|夜の車|Pipebomb Pete|Midnight Rider|jockey_ahoi|witchwhisperer|"
    "lag|Cricketbat|Molotow|Ellis' cousin|no mercy|Frying Pan Fran|adrenaline|CarAlarm|Sugar Mill Bill|"
    "Defib Dave|huntress|left4tea|Swamp Fox|Bile Jar Jim|xX_Spitter_Xx|Bridge Runner|Whitaker|Finale Phil"
)
_HOSTILE = (
    '#end|say "hi" now|<script>alert(1)</script>|; quit|# userid name uniqueid|   |"|'
    '# 2 1 "x" STEAM_1:0:1 00:10 20 0 active|\u202egnp.exe|zero\u200bwidth|%s%n%d|../../etc/passwd|'
    "a very long name of just 31 char|名前|{{ 7*7 }}|BOT|12:34 50 0 active 30000"
)


class Player:
    """One human on the server. Times are game time."""

    __slots__ = (
        "account",
        "address",
        "base_ping",
        "joined_at",
        "name",
        "rate",
        "slot",
        "spawned_at",
        "team",
        "userid",
    )

    def __init__(
        self, *, userid: int, slot: int, name: str, account: int, joined_at: float, dice: random.Random
    ) -> None:
        self.userid = userid
        self.slot = slot
        self.name = name
        self.account = account
        self.joined_at = joined_at
        self.spawned_at = joined_at
        self.team = ""
        self.base_ping = dice.randint(18, 130)
        self.rate = dice.choice((20000, 30000, 30000, 60000, 100000))
        self.address = f"{dice.choice(('192.0.2', '198.51.100', '203.0.113'))}.{dice.randint(1, 254)}:27005"

    @property
    def ip(self) -> str:
        return self.address.partition(":")[0]

    @property
    def steam_id(self) -> str:
        return f"STEAM_1:{self.account & 1}:{self.account >> 1}"

    @property
    def steam_id_64(self) -> int:
        return STEAM_ID_64_BASE + self.account

    def tag(self) -> str:
        """The player as log lines name him."""
        return f'"{self.name}<{self.userid}><{self.steam_id}><{self.team}>"'

    def ping(self, now: float) -> int:
        """Wanders around the base every five seconds, a function of time alone: nothing has to tick for it."""
        noise = zlib.crc32(b"%d %d" % (self.account, int(now / 5)))
        return max(5, self.base_ping + noise % 21 - 10 + (60 if noise % 97 == 0 else 0))

    def loss(self, now: float) -> int:
        noise = zlib.crc32(b"loss %d %d" % (self.account, int(now / 20)))
        return noise % 7 if noise % 11 == 0 else 0


class Bot:
    __slots__ = ("name", "userid")

    def __init__(self, userid: int, name: str) -> None:
        self.userid = userid
        self.name = name


class Bans:
    """Keys (Steam ids or addresses) with the minutes of their ban, 0 for ever, and the game time at which it ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bans: dict[str, tuple[float, float]] = {}

    def add(self, key: str, minutes: float) -> None:
        self._bans[key] = (minutes, self._clock.now() + minutes * 60)

    def remove(self, key: str) -> bool:
        """The text must be the one that is listed: the engine compares texts."""
        return self._bans.pop(key, None) is not None

    def clear(self) -> int:
        count = len(self._bans)
        self._bans.clear()
        return count

    def holds(self, key: str) -> bool:
        if key not in self._bans:
            return False
        minutes, until = self._bans[key]
        if minutes > 0 and until <= self._clock.now():
            del self._bans[key]
            return False
        return True

    def matches(self, address: str) -> bool:
        """Whether a ban covers the address: a part that is 0 stands for every number."""
        parts = address.split(".")
        return any(
            self.holds(key) and all(own in ("0", part) for own, part in zip(key.split("."), parts, strict=False))
            for key in list(self._bans)
        )

    def rows(self) -> Iterator[tuple[str, float]]:
        """Keys in force with the minutes they were banned for, 0 for ever."""
        for key in list(self._bans):
            if self.holds(key):
                yield key, self._bans[key][0]

    def permanent(self) -> list[str]:
        return [key for key, minutes in self.rows() if not minutes]


def name_pool(kind: str) -> list[str]:
    """Names to draw from: `plain`, `hostile`, or `long`, which makes a full server's status two packets."""
    if kind == "long":
        return [f"Überlebender №{number:02d} ⚡ langer!" for number in range(1, 65)]
    return (_HOSTILE if kind == "hostile" else _PLAIN).split("|")


def account_of(name: str) -> int:
    """The same name is the same person on every simulated server: profiles and history recognise regulars.

    The numbers lie above all that Steam has given out, so that a profile look-up never names a real person.
    """
    return 3_500_000_000 + zlib.crc32(name.encode()) % 700_000_000
