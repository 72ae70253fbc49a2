"""The answer to `status`, in the format of L4D2, and on demand in the formats of other servers."""

from __future__ import annotations

from .cvars import Cvars
from .world import World

VERSION = "2.2.4.3"
BUILD = "10097"


def text_of(*, world: World, cvars: Cvars, address: str, now: float) -> str:
    """The whole answer. Cvar `sim_status_shape` deforms it."""
    shape = cvars.text("sim_status_shape")
    if shape == "empty":
        return ""
    if shape == "unknown":
        return 'Unknown command "status"\n'
    header = _header(world=world, cvars=cvars, address=address)
    if shape == "header_only":
        return "] status\n" + header
    with_address = shape != "no_adr"
    columns = "# userid name uniqueid connected ping loss state rate" + (" adr" if with_address else "")
    rows = _human_rows(world, now=now, with_address=with_address) + _bot_rows(world)
    text = header + "\n" + "\n".join([columns, *rows]) + "\n"
    if shape == "no_end":
        return text
    if shape == "truncated":
        return text[: len(text) - len(rows[-1]) // 2] if rows else header
    text += "#end\n"
    if shape == "log_line":
        text += 'L 01/02/2026 - 03:04:05: rcon from "127.0.0.1:45678": command "status"\n'
    return text.replace("\n", "\r\n") if shape == "crlf" else text


def connected(seconds: float) -> str:
    """Time on the server, padded as the engine does: two digits and a colon, with hours a blank more."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:2d}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"


def _header(*, world: World, cvars: Cvars, address: str) -> str:
    asleep = "hibernating" if world.hibernating else "not hibernating"
    reserved = cvars.text("sim_reserved")
    # The engine counts no survivor or special infected bot in the head, though they have rows.
    return (
        f"hostname: {cvars.text('hostname')}\n"
        f"version : {VERSION} {BUILD} secure  (unknown)\n"
        f"udp/ip  : {address} [ public n/a ]\n"
        "os      : Linux Dedicated\n"
        f"map     : {world.map}\n"
        f"players : {len(world.players) + len(world.joining)} humans, 0 bots ({world.max_players} max) "
        f"({asleep}) ({'reserved ' + reserved if reserved else 'unreserved'})\n"
    )


def _human_rows(world: World, *, now: float, with_address: bool) -> list[str]:
    rows = []
    for player in world.players:
        time_on = connected(now - player.joined_at)
        row = (
            f'# {player.userid:2d} {player.slot} "{player.name}" {player.steam_id} {time_on} '
            f"{player.ping(now)} {player.loss(now)} {world.state_of(player)} {player.rate}"
        )
        rows.append(f"{row} {player.address}" if with_address else row)
    # Without a network channel the engine prints no figures.
    rows += [f'# {userid:2d} {slot} "{name}" STEAM_ID_PENDING connecting' for userid, slot, name in world.joining]
    return rows


def _bot_rows(world: World) -> list[str]:
    rows = [f'#{bot.userid:2d} "{bot.name}" BOT active' for bot in world.bots]
    if world.source_tv_userid is not None:
        rows.insert(0, f'#{world.source_tv_userid:2d} "SourceTV" BOT active')
    return rows
