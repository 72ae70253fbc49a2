"""Kicks and bans, of people and of addresses."""

from __future__ import annotations

from .grammar import Command, number_of
from .players import Player

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine
    from .players import Bans


class ModerationCommands:
    """kick, kickid, banid, removeid, listid, writeid, and the same for addresses."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = engine.log
        self._world = engine.world
        self._people = engine.banned_people
        self._addresses = engine.banned_addresses

    def do_kick(self, command: Command) -> None:
        """By name, case does not matter."""
        name = command.value.lower()
        player = next((p for p in self._world.players if p.name.lower() == name), None)
        if player is None:
            self._log.print(f'Can\'t kick "{command.value}", name not found\n')
        else:
            self._world.leave(player, "Kicked by Console")

    def do_kickid(self, command: Command) -> None:
        """By userid (not by slot) or Steam id, with an optional message."""
        if not command.args:
            self._log.print("Usage:  kickid < userid | uniqueid > { message }\n")
            return
        player = self._player(command.args[0])
        message = " ".join(command.args[1:]) or "Kicked by Console"
        if player is None:
            self._log.print(f'userid "{command.args[0]}" not found\n')
        else:
            self._world.leave(player, message)

    def do_banid(self, command: Command) -> None:
        if len(command.args) < 2:
            self._log.print("Usage:  banid < minutes > < userid | uniqueid > { kick }\n")
            return
        if self._engine.cvars.on("sv_lan"):
            self._log.print("Can't ban users on a LAN\n")
            return
        minutes = max(0.0, number_of(command.args[0]))
        player = self._player(command.args[1])
        steam_id = player.steam_id if player is not None else command.args[1]
        if not steam_id.startswith(("STEAM_", "[U:")):
            self._log.print(f'banid: couldn\'t find userid "{steam_id}"\n')
            return
        self._people.add(steam_id, minutes)
        span = f"for {minutes:.2f} minutes" if minutes else "permanently"
        self._log.event(f'Banid: "{player.name if player else ""}<><{steam_id}><>" was banned "{span}" by "Console"')
        if player is not None and "kick" in command.args[2:]:
            self._world.leave(player, "Kicked and banned")

    def do_removeid(self, command: Command) -> None:
        self._remove(command, self._people, "removeid", "filter ID")

    def do_removeallids(self, _command: Command) -> None:
        count = self._people.clear()
        self._log.print(f"removeallids:  filter removed for {count} user IDs\n")

    def do_listid(self, _command: Command) -> None:
        self._list(list(self._people.rows()), "ID filter list")

    def do_writeid(self, _command: Command) -> None:
        rows = [f"banid 0 {steam_id}\r\n" for steam_id in self._people.permanent()]
        self._write("banned_user.cfg", rows)

    def do_addip(self, command: Command) -> None:
        if len(command.args) < 2:
            self._log.print("Usage:  addip < minutes > < ipaddress >\n")
            return
        if not _is_address(command.args[1]):
            self._log.print(f"Bad filter address: {command.args[1]}\n")
            return
        self._addresses.add(command.args[1], max(0.0, number_of(command.args[0])))
        for player in list(self._world.players):
            if self._addresses.matches(player.ip):
                self._world.leave(player, "Added to banned list")

    def do_removeip(self, command: Command) -> None:
        self._remove(command, self._addresses, "removeip", "filter IP")

    def do_listip(self, _command: Command) -> None:
        # The engine pads each part of an address to three characters.
        padded = ((".".join(f"{part:>3}" for part in key.split(".")), span) for key, span in self._addresses.rows())
        self._list(list(padded), "IP filter list")

    def do_writeip(self, _command: Command) -> None:
        rows = [f"addip 0 {address}\r\n" for address in self._addresses.permanent()]
        self._write("banned_ip.cfg", rows)

    def _write(self, name: str, rows: list[str]) -> None:
        self._log.print(f"Writing cfg/{name}.\n")
        self._engine.console.write_file(name, "".join(rows))

    def _player(self, who: str) -> Player | None:
        return next((p for p in self._world.players if who in (str(p.userid), p.steam_id)), None)

    def _remove(self, command: Command, bans: Bans, name: str, what: str) -> None:
        if not command.args:
            self._log.print(f"Usage:  {name} < {what.split()[1].lower()} >\n")
        elif bans.remove(command.args[0]):
            self._log.print(f"{name}:  {what} removed for {command.args[0]}\n")
        else:
            self._log.print(f"{name}:  couldn't find {command.args[0]}\n")

    def _list(self, rows: list[tuple[str, float]], title: str) -> None:
        """The minutes are those that the ban was given, not those that are left."""
        if not rows:
            self._log.print(f"{title}: empty\n")
            return
        entries = "entry" if len(rows) == 1 else "entries"
        lines = [f"{title}: {len(rows)} {entries}"]
        for number, (key, minutes) in enumerate(rows, start=1):
            lines.append(f"{number} {key} : {f'{minutes:.3f} min' if minutes else 'permanent'}")
        self._log.print("\n".join(lines) + "\n")


def _is_address(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdecimal() and int(part) < 256 for part in parts)
