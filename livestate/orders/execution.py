"""Runs orders on the worker: claims the row, sends the commands to the game, stores the outcome."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.core import secrets
from left4me.core.lines import Masker
from left4me.core.rows import storable
from livestate.models import Order
from livestate.orders import commands, plugins
from livestate.orders.commands import Ask, Outcome, Result
from livestate.status import NotStatus
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.models import Server
from servers.plugins import inventory

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
# A cvarlist takes a quarter of a megabyte. Longer output is truncated.
LONGEST_OUTPUT = 400_000
LONGEST_NOTE = 500


def carry_out(order_id: int, *, now: datetime) -> None:
    """Run an order, unless it ran already, is too old, or was deleted: Redis may deliver a message twice, or late."""
    # One conditional UPDATE: of two deliveries of the message only one claims the row.
    if not Order.objects.unclaimed(now).filter(pk=order_id).update(state=Order.State.RUNNING):
        logger.info("Order %s is not run: it ran already, is too old, or does not exist", order_id)
        return
    order = Order.objects.select_related("server").get(pk=order_id)
    order.announce()
    mask = order.server.masker
    outcome = _attempt(order, mask)
    Order.objects.filter(pk=order_id).update(
        state=outcome.result,
        # Before the text is cut, which could leave a part of a password. The game may have been cut off as well.
        output=storable(mask.so_far(outcome.output), LONGEST_OUTPUT),
        note=mask(str(outcome.note))[:LONGEST_NOTE],
        finished_at=timezone.now(),
    )
    order.announce()


def known_commands(server: Server) -> list[str]:
    """The names of all commands and settings of the running game, including those of plugins."""
    names = (line.partition(" : ")[0].strip() for line in _asker(server)("cvarlist").splitlines() if " : " in line)
    return sorted({name for name in names if name and " " not in name})


def _attempt(order: Order, mask: Masker) -> Outcome:
    if order.server.actual_state != Server.State.RUNNING:
        return Outcome(Result.FAILED, note=_("The server is not running."))
    try:
        return _run(order, _asker(order.server, on_text=functools.partial(_store_partial_output, order, mask)))
    except rcon.RconError as error:
        return Outcome(Result.UNCERTAIN if error.sent else Result.FAILED, error.partial, str(error))
    except (NotStatus, secrets.Unreadable) as error:
        return Outcome(Result.FAILED, note=str(error))
    except Exception as error:
        # Task boundary: the page shows the error, the log holds the traceback.
        logger.exception("Order %s failed", order.pk)
        return Outcome(Result.UNCERTAIN, note=f"{type(error).__name__}: {error}")


def _run(order: Order, ask: Ask) -> Outcome:
    match order.kind:
        case Order.Kind.COMMAND:
            return commands.command(ask, order.value)
        case Order.Kind.SAY:
            return commands.say(ask, order.value)
        case Order.Kind.KICK:
            return commands.kick(ask, int(order.value))
        case Order.Kind.MAP:
            return commands.change_map(ask, order.value)
        case Order.Kind.DIFFICULTY:
            return commands.set_difficulty(ask, order.value)
        case Order.Kind.MODE:
            return commands.set_mode(ask, order.value)
        case Order.Kind.LOAD_PLUGIN:
            return plugins.load(ask, order.value, inventory.of_server(order.server))
        case Order.Kind.UNLOAD_PLUGIN:
            return plugins.unload(ask, order.value, inventory.of_server(order.server))
        case Order.Kind.RELOAD_PLUGIN:
            return plugins.reload(ask, order.value, inventory.of_server(order.server))
    raise ValueError(f"Unknown kind of command: {order.kind!r}.")


def _asker(server: Server, *, on_text: Callable[[str], None] | None = None) -> Ask:
    return functools.partial(this_host.ask_game, server, timeout=TIMEOUT_SECONDS, on_text=on_text)


def _store_partial_output(order: Order, mask: Masker, text: str) -> None:
    """Store the output received so far, so that a waiting page shows a long answer as it comes."""
    Order.objects.filter(pk=order.pk, state=Order.State.RUNNING).update(
        output=storable(mask.so_far(text), LONGEST_OUTPUT)
    )
    order.announce()
