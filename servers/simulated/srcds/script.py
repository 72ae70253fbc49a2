"""The behaviour of players: they join, chat, finish chapters and leave. The same seed gives the same history."""

from __future__ import annotations

import random

from . import campaigns, players
from .clock import Timer, Timers
from .cvars import Cvars
from .events import Events
from .log import Log
from .world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHAT = """\
hi
hello all
anyone got a medkit?
pills here
reloading!
TANK!
wait for me
run
gg
nice one
go go go
lag?
sorry
brb
who startled the witch
car alarm again...
heal up before the finale
one more chapter?
ready
lol""".splitlines()
_VOTE_SECONDS = 5.0
_SPECIALS = ("Smoker", "Boomer", "Hunter", "Spitter", "Jockey", "Charger", "Tank")
_REASONS = ("Disconnect by user.",) * 5 + ("timed out", "Client left game (Steam auth ticket has been canceled)")


class Script:
    """Drives a world by timers. `target` None lets people come and go; a number keeps that many on."""

    def __init__(self, *, timers: Timers, cvars: Cvars, log: Log, world: World, events: Events) -> None:
        self._timers = timers
        self._cvars = cvars
        self._log = log
        self._world = world
        self._events = events
        self._dice = random.Random(0)
        self._pending: dict[str, Timer] = {}
        self._extra = 0
        self.target: int | None = None

    def seed(self, seed: str) -> None:
        self._dice.seed(seed)
        self._world.dice.seed("addresses " + seed)

    def map_loaded(self) -> None:
        """A map is loaded: players continue, or the first ones join."""
        if self.target is not None:
            self.keep(self.target)
        else:
            self._plan("join", self._dice.uniform(1, 6), self._somebody_joins)
        self._plan("chapter", self._chapter_length(), self._chapter_ends)
        self._plan("chat", self._dice.uniform(3, 20), self._somebody_chats)
        self._plan("special", self._dice.uniform(10, 40), self._special_appears)

    def keep(self, count: int | None) -> int:
        """Keep `count` people on from now, or let the dice decide (None). Returns how many are on."""
        self.target = count
        if count is None:
            self._plan("join", self._dice.uniform(1, 6), self._somebody_joins)
        elif self._world.map and not self._world.loading:
            self._drop("join")
            while len(self._world.players) > count:
                self._world.leave(self._world.players[-1], "Disconnect by user.")
            while len(self._world.players) < min(count, self._world.max_players) and self._arrive():
                pass
        return len(self._world.players)

    def _plan(self, what: str, seconds: float, action: Callable[[], None]) -> None:
        self._drop(what)
        self._pending[what] = self._timers.after(seconds, action)

    def _drop(self, what: str) -> None:
        if what in self._pending:
            self._pending.pop(what).cancel()

    def _exponential(self, cvar: str) -> float:
        return self._dice.expovariate(1.0) * max(1.0, self._cvars.number(cvar))

    def _chapter_length(self) -> float:
        return self._dice.uniform(0.7, 1.3) * max(1.0, self._cvars.number("sim_chapter_seconds"))

    def _arrive(self) -> players.Player | None:
        on = {player.name for player in self._world.players}
        free = [name for name in players.name_pool(self._cvars.text("sim_names")) if name not in on]
        self._dice.shuffle(free)
        for name in free:
            player = self._world.join(name)
            if player is not None:
                return player
        # More are wanted than names are known: number them.
        self._extra += 1
        return self._world.join(f"Survivor {self._extra}")

    def _somebody_joins(self) -> None:
        if self.target is not None:
            return
        standing = bool(self._world.map) and not self._world.loading
        room = standing and len(self._world.players) < self._world.max_players
        player = self._arrive() if room else None
        if player is not None:
            reason = self._dice.choice(_REASONS)
            self._timers.after(2 + self._exponential("sim_stay_seconds"), lambda: self._departs(player, reason))
        self._plan("join", 1 + self._exponential("sim_join_seconds"), self._somebody_joins)

    def _departs(self, player: players.Player, reason: str) -> None:
        if self.target is None:
            self._world.leave(player, reason)

    def _somebody_chats(self) -> None:
        if self._cvars.number("sim_chat_seconds") <= 0 or self._world.hibernating:
            # Looked at again rarely: an empty server sleeps.
            self._plan("chat", 30, self._somebody_chats)
            return
        self.chat(self._dice.choice(_CHAT))
        self._plan("chat", 1 + self._exponential("sim_chat_seconds"), self._somebody_chats)

    def chat(self, text: str) -> bool:
        """Somebody says `text`; false when nobody is on."""
        if self._world.hibernating:
            return False
        player = self._dice.choice(self._world.players)
        self._log.event(f'{player.tag()} say "{text}"')
        return True

    def _special_appears(self) -> None:
        if not self._world.hibernating and len(self._world.bots) < 8:
            bot = self._world.spawn_special(self._dice.choice(_SPECIALS))
            self._timers.after(self._dice.uniform(8, 40), lambda: self._world.remove_bot(bot))
        self._plan("special", self._dice.uniform(10, 40), self._special_appears)

    def _chapter_ends(self) -> None:
        if self._world.hibernating:
            self._plan("chapter", self._chapter_length(), self._chapter_ends)
            return
        if campaigns.is_finale(self._world.map):
            # The credits roll, and only then something else is loaded.
            self._events.end_of_campaign(self._world.map)
            self._plan("chapter", max(0.0, self._cvars.number("sim_credits_seconds")), self._goes_on)
        else:
            self._goes_on()

    def _goes_on(self) -> None:
        following = campaigns.next_map(self._world.map, self._world.addon_maps)
        self._world.change_map(following, keep_players=True)

    def finish_chapter(self) -> bool:
        """The players reach the end of the chapter; false when nobody is on."""
        if self._world.hibernating or self._world.loading:
            return False
        self._chapter_ends()
        return True

    def vote(self, issue: str, subject: str, *, passes: bool) -> bool:
        """Somebody calls a vote, and everybody votes; false when nobody is on."""
        if self._world.hibernating:
            return False
        caller = self._dice.choice(self._world.players)
        # All that the engine itself says of it.
        self._log.print("Potential vote being called\n")
        self._events.tell("vote_started", self._world.map, issue, subject, 255, caller.name, caller.steam_id)
        self._timers.after(_VOTE_SECONDS, lambda: self._vote_ends(issue, subject, passes=passes))
        return True

    def _vote_ends(self, issue: str, subject: str, *, passes: bool) -> None:
        voters = len(self._world.players)
        yes = voters if passes else 0
        name, details = "vote_failed", ""
        if passes:
            name, details = "vote_passed", issue.replace("#L4D_vote_", "#L4D_vote_passed_")
        self._events.tell(name, self._world.map, details, subject if passes else "", 255, yes, voters - yes, voters)
        if passes and issue.endswith("return_to_lobby"):
            for player in list(self._world.players):
                self._world.leave(player, "Disconnect by user.")
