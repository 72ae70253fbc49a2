"""The state of the game: the map, its players, and the effect of a map change on them."""

from __future__ import annotations

import random

from . import campaigns
from .clock import Timer, Timers
from .cvars import Cvars
from .log import Log, Record
from .players import Bans, Bot, Player, account_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_NAME = 31  # bytes, as the engine cuts them
_SPAWN_SECONDS = 3.0


class World:
    """One running game. `loading` is true while a map loads: the engine then serves no socket."""

    def __init__(
        self, *, timers: Timers, cvars: Cvars, log: Log, bans: Bans, banned_addresses: Bans, record: Record
    ) -> None:
        self._timers = timers
        self._cvars = cvars
        self._log = log
        self._bans = bans
        self._banned_addresses = banned_addresses
        self._record = record
        self._load: Timer | None = None
        self._userid = 1
        self.dice = random.Random(0)
        self.slots = 0
        self.map = ""
        self.addon_maps: list[str] = []
        self.players: list[Player] = []
        # userid, slot and name of each client that loads, and that Steam has not confirmed yet
        self.joining: list[tuple[int, int, str]] = []
        self.bots: list[Bot] = []
        # Of SourceTV's bot; None while it is not there.
        self.source_tv_userid: int | None = None
        self.on_map_ends: Callable[[], None] = lambda: None
        self.on_load_ended: Callable[[], None] = lambda: None
        self.on_loaded: Callable[[], None] = lambda: None

    @property
    def loading(self) -> bool:
        return self._load is not None

    @property
    def hibernating(self) -> bool:
        return not self.players

    @property
    def max_players(self) -> int:
        raised = int(max(self._cvars.number("sv_maxplayers"), self._cvars.number("sv_setmax")))
        if raised > 0:
            return min(raised, 32)
        both_teams = self._cvars.text("mp_gamemode") in ("versus", "scavenge")
        return self.slots or (8 if both_teams else 4)

    def change_map(self, name: str, *, mode: str = "", keep_players: bool) -> None:
        """Start loading map `name`; `loaded` follows after the time a load takes."""
        self.on_map_ends()
        self._log.event(f"-------- Mapchange to {name} --------" if self.map else f'Loading map "{name}"')
        if not keep_players:
            self.shut_down()
        if mode in campaigns.MODES:
            self._cvars["mp_gamemode"].write(mode)
        self.map = name
        self.bots.clear()
        if self._load is not None:
            self._load.cancel()
        self._load = self._timers.after(self._cvars.number("sim_map_load_seconds"), self._loaded)

    def _loaded(self) -> None:
        self._load = None
        self.on_load_ended()
        self._log.event(f'Started map "{self.map}" (CRC "{random.Random(self.map).getrandbits(31)}")')
        self._record.write("map", map=self.map)
        now = self._timers.now()
        for player in self.players:
            player.spawned_at = now
            self._log.event(f"{player.tag()} entered the game")
        self._fill_survivors()
        self.on_loaded()

    def start_joining(self, name: str) -> None:
        """`name` connects and loads; `join` or `stop_joining` ends that."""
        name = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
        taken = {p.slot for p in self.players} | {slot for _userid, slot, _name in self.joining}
        slot = next((n for n in range(1, 33) if n not in taken), None)
        if slot is not None:
            self.joining.append((self.next_userid(), slot, name))

    def stop_joining(self, name: str) -> None:
        self.joining = [client for client in self.joining if client[2] != name]

    def join(self, name: str) -> Player | None:
        """Let `name` in, unless the server is full, the person is on already or banned."""
        name = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
        account = account_of(name)
        if len(self.players) >= self.max_players or any(p.account == account for p in self.players):
            return None
        self.stop_joining(name)
        taken = {p.slot for p in self.players} | {slot for _userid, slot, _name in self.joining}
        slot = next((n for n in range(1, 33) if n not in taken), None)
        if slot is None:
            return None
        player = Player(
            userid=self.next_userid(),
            slot=slot,
            name=name,
            account=account,
            joined_at=self._timers.now(),
            dice=self.dice,
        )
        if self._bans.holds(player.steam_id) or self._banned_addresses.matches(player.ip):
            self._log.event(f"{player.tag()} was rejected: banned")
            return None
        if not self.players:
            self._log.print("Server is waking up from hibernation\n")
        self._log.event(f'{player.tag()} connected, address "{player.address}"')
        self._log.event(f"{player.tag()} STEAM USERID validated")
        self._log.event(f"{player.tag()} entered the game")
        team = "Infected" if self._infected_wanted() else "Survivor"
        self._log.event(f'{player.tag()} joined team "{team}"')
        player.team = team
        self.players.append(player)
        self._fill_survivors()
        self._record.player("join", player)
        return player

    def leave(self, player: Player, reason: str) -> None:
        """Take `player` off; leaving twice is nothing."""
        if player not in self.players:
            return
        self.players.remove(player)
        self._log.event(f'{player.tag()} disconnected (reason "{reason}")')
        self._record.player("leave", player, reason=reason)
        self._fill_survivors()
        if not self.players:
            self._log.print("Server is hibernating\n")

    def shut_down(self) -> None:
        """Everybody leaves."""
        self.joining.clear()
        for player in list(self.players):
            self.leave(player, "Server shutting down")

    def state_of(self, player: Player) -> str:
        return "spawning" if self._timers.now() - player.spawned_at < _SPAWN_SECONDS else "active"

    def spawn_special(self, name: str) -> Bot:
        bot = Bot(self.next_userid(), name)
        self.bots.append(bot)
        return bot

    def remove_bot(self, bot: Bot) -> None:
        if bot in self.bots:
            self.bots.remove(bot)

    def _infected_wanted(self) -> bool:
        survivors = sum(p.team == "Survivor" for p in self.players)
        return self._cvars.text("mp_gamemode") in ("versus", "scavenge") and survivors * 2 > len(self.players)

    def _fill_survivors(self) -> None:
        """Bots play the survivors nobody plays, as long as somebody is on."""
        names = campaigns.campaign_of(self.map).survivors
        humans = sum(p.team == "Survivor" for p in self.players)
        wanted_bots = max(0, int(self._cvars.number("survivor_limit")) - humans) if self.players else 0
        present = [bot for bot in self.bots if bot.name in names]
        for bot in present[wanted_bots:]:
            self.bots.remove(bot)
        free = [name for name in names if all(bot.name != name for bot in present)]
        for name in free[: max(0, wanted_bots - len(present))]:
            self.bots.insert(0, Bot(self.next_userid(), name))
        if not self.players:
            self.bots.clear()

    def next_userid(self) -> int:
        self._userid += 1
        return self._userid
