"""The operations on a server, as they are carried out on its host. Each public function is the body of one operation.

Every one is idempotent: after a worker died in the middle, running it again leads to the same state.
"""

from __future__ import annotations

import contextlib
import re
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from left4me.core import outages, secrets
from left4me.core.net import ports as machine_ports
from left4me.core.redis import signals
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import contents
from overlays.models import Overlay
from overlays.replication import layers as replication_layers
from servers.gamehost import rcon
from servers.gamehost.game import NoVersion
from servers.gamehost.port import MountFailed, Outcome, RuntimeFault, State
from servers.gamehost.spec import InstanceSpec, SpecInvalid
from servers.hosts import own_copies, ports, this_host
from servers.lifecycle import launch_plan, readiness
from servers.logs import cleanup
from servers.models import DeletedServer, Server
from servers.state import crash_alerts, start_retries, state_log

# Large campaigns need minutes from a slow disk until the first map is loaded.
READY_WITHIN = timedelta(minutes=5)
_READY_CHECK_SECONDS = 0.5
_QUIT_TIMEOUT_SECONDS = 5.0


def initialize(server: Server, run: JobContext) -> None:
    """Fetch everything that the server needs to this host, so that its start does not have to."""
    plan = _compose(server, run)
    run.log(f"{len(plan.spec.layers)} layers, highest priority first:")
    for layer in plan.spec.layers:
        run.log(f"  {layer}")
    run.log("All files are in place; the server can be started.")
    state_log.clear_last_error(server)


def start(server: Server, run: JobContext) -> None:
    """Start the game and wait until RCON answers."""
    with start_retries.attempt(server, run):
        _start(server, run)


def _start(server: Server, run: JobContext) -> None:
    # Everything that can be found missing is checked before the state changes.
    _refuse_taken_port(server)
    plan = _compose(server, run)
    _remove_old_files(server, run)
    _note_own_copies(server, run)
    state_log.record_state(server, Server.State.STARTING, now=timezone.now())
    run.progress(phase="starting", done=0, total=2)
    try:
        outcome = this_host.runtime().start(plan.spec)
    except RuntimeFault as fault:
        _record_failed_start(server, fault)
        raise Failed(str(fault), may_pass=True) from fault
    if outcome is Outcome.ALREADY_RUNNING:
        # The first run of this job died, or the game is between two restarts: what it was started with is stored.
        run.log("The game is already running; waiting for it to respond.")
    else:
        run.log("The game was started; waiting for it to respond over RCON.")
        launch_plan.record_start(server, plan, now=timezone.now())
    run.progress(phase="loading the map", done=1, total=2)
    _wait_until_ready(server, plan.spec, run)
    state_log.record_state(server, Server.State.RUNNING, now=timezone.now())
    state_log.clear_last_error(server)
    run.progress(phase="ready", done=2, total=2)
    run.log("The server is ready.")


def _remove_old_files(server: Server, run: JobContext) -> None:
    """Delete what the game wrote long ago; a start does not fail because of it."""
    try:
        directory = this_host.storage().of(server.pk)
        count = cleanup.remove_old(directory, now=timezone.now(), days=settings.LEFT4ME_GAME_LOG_DAYS)
    except OSError as fault:
        run.log(f"Old logs could not be deleted: {fault}.")
    else:
        if count:
            run.log(f"Deleted {count} logs and crash dumps of the game from long ago.")


def _note_own_copies(server: Server, run: JobContext) -> None:
    """Say how many files of the server hide newer ones of the game; a start does not fail because of it."""
    try:
        outdated = own_copies.note(server)
    except OSError as fault:
        run.log(f"The server's files could not be compared with the game's: {fault}.")
    else:
        if outdated:
            run.log(
                f"{outdated} files of the game are hidden by older copies of this server. "
                "If it does not start, use the originals: Files, Own copies."
            )


def stop(server: Server, run: JobContext) -> None:
    """Warn the players if requested, then end the game: RCON quit, TERM, KILL."""
    _warn_players(server, run)
    with _noted_later():
        state_log.record_state(server, Server.State.STOPPING, now=timezone.now())
    run.log("Asking the game to quit.")
    _end(server, run, lambda: this_host.runtime().stop(server.pk, quit_game=lambda: _quit(server)))


def restart(server: Server, run: JobContext) -> None:
    # Whatever the start would fail on is found, and missing layers are fetched, while people still play.
    _compose(server, run)
    stop(server, run)
    start(server, run)


def kill(server: Server, run: JobContext) -> None:
    """End every process of the server at once."""
    _end(server, run, lambda: this_host.runtime().kill(server.pk))


def delete(server: Server, run: JobContext) -> None:
    """End the game, archive its writable layer, and remove its files and its row."""
    stop(server, run)
    try:
        this_host.runtime().delete(server.pk, now=timezone.now())
    except RuntimeFault as fault:
        raise Failed(str(fault)) from fault
    run.log("Files removed. An archive of the server's own files is kept for seven days.")
    crash_alerts.server_is_gone(server, now=timezone.now())
    DeletedServer.remember(server, now=timezone.now())
    # Last: a job that runs again after its worker died still finds the row, and finishes the rest.
    pk, owner_id = server.pk, server.owner_id
    server.delete()
    signals.send_after_commit(f"{signals.SERVER}:{pk}", also=[owner_id])


def restore(server: Server, run: JobContext) -> None:
    """Bring back the files that a deleted server had written."""
    try:
        files = this_host.storage().restore(server.pk)
    except (OSError, tarfile.TarError) as fault:
        raise Failed(f"The server's files could not be restored: {fault}") from fault
    run.log("The server had no files of its own." if files is None else f"Files restored: {files}.")


_MESSAGES = {
    Outcome.STOPPED: "The game has stopped.",
    Outcome.KILLED: "The game was force-stopped.",
    Outcome.ALREADY_STOPPED: "The game was not running.",
}


def _compose(server: Server, run: JobContext) -> launch_plan.LaunchPlan:
    """Plan a start; fail with what is missing and how to mend it, which the server's page then shows."""
    try:
        return _plan(server, run)
    except Failed as fault:
        state_log.set_last_error(server, str(fault))
        raise


def _plan(server: Server, run: JobContext) -> launch_plan.LaunchPlan:
    """The plan of a start. Fetches the layers on hosts other than the web's."""
    layers, trees = _layers(server, run)
    try:
        version = this_host.games().current()
    except NoVersion:
        raise Failed(
            "The game is not installed on this host. Once an admin installs it on the host's page, the server starts."
        ) from None
    cache = this_host.workshop_cache()
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return launch_plan.compose(
            server,
            layers=layers,
            places=launch_plan.HostPaths(game=version.path, overlays=trees, cache=cache),
            game_version=version.id,
        )
    except SpecInvalid as fault:
        raise Failed(f"The server's files cannot be put together: {fault}") from fault
    except secrets.Unreadable as fault:
        raise Failed(f"The RCON password cannot be read: {fault} Change it on the server's page.") from fault


def _layers(server: Server, run: JobContext) -> tuple[Sequence[Overlay], Mapping[int, Path]]:
    """The blueprint's overlays, the topmost first, and the directory of each on this host."""
    layers = server.blueprint.layers
    # Overlays of uploaded files exist as soon as they are created; only the others have to be built first.
    unbuilt = [layer.name for layer in layers if layer.kind != Overlay.Kind.FILES and layer.built_at is None]
    if unbuilt:
        raise Failed(f"Overlays not built yet: {', '.join(unbuilt)}. Build them, then try again.")
    trees = replication_layers.trees(run, layers)
    _refuse_programs(layers, trees)
    return layers, trees


def _refuse_programs(layers: Sequence[Overlay], trees: Mapping[int, Path]) -> None:
    """Fail when an overlay would replace programs of the game that no admin has allowed."""
    for layer in layers:
        if layer.kind == Overlay.Kind.WORKSHOP:
            continue
        if refused := contents.refused_programs(layer, root=trees[layer.pk]):
            raise Failed(
                f"Overlay “{layer.name}” contains programs of the game that no admin has allowed: "
                f"{', '.join(refused[:10])}. Remove them, or ask an admin to allow them on the overlay's page."
            )


def _refuse_taken_port(server: Server) -> None:
    """Fail when another program uses the port: the game itself would only end again and again, without a message.

    SourceTV gets another port instead, which its page then shows.
    """
    # A server in any other state uses its port itself, or is about to release it.
    if this_host.runtime().observe([server.pk])[server.pk].state not in {State.STOPPED, State.GAVE_UP}:
        return
    if server.tv_port and not machine_ports.is_free(server.tv_port):
        server.tv_port = ports.choose(server.host, find_busy=ports.busy_here, highest=True)
        server.save(update_fields=["tv_port"])
    if machine_ports.is_free(server.port):
        return
    offered = ports.choose(server.host, besides=server, find_busy=ports.busy_here)
    holder = machine_ports.holder(server.port) or "another program"
    message = f"Port {server.port} on this host is in use by {holder}."
    message += f" Port {offered} is free." if offered else " No other port of the host's range is free."
    message += f" To see which program uses it, run this on the host: ss -lntup 'sport = :{server.port}'"
    state_log.record_state(server, Server.State.STOPPED, now=timezone.now(), detail=message)
    state_log.set_last_error(server, message, offered_port=offered)
    raise Failed(message, may_pass=True)


def _record_failed_start(server: Server, fault: RuntimeFault) -> None:
    message = f"The overlays could not be mounted: {fault}" if isinstance(fault, MountFailed) else str(fault)
    state_log.record_state(server, Server.State.STOPPED, now=timezone.now(), detail=message)
    state_log.set_last_error(server, message)


def _end(server: Server, run: JobContext, end: Callable[[], Outcome]) -> None:
    """Call `end`, which ends the game, and record what came of it. Raises Failed."""
    try:
        outcome = end()
    except RuntimeFault as fault:
        state_log.set_last_error(server, str(fault))
        raise Failed(str(fault)) from fault
    with _noted_later():
        _record_stopped(server)
    run.log(_MESSAGES[outcome])


@contextlib.contextmanager
def _noted_later() -> Iterator[None]:
    """Let a game end although nothing can be written: the reconciler stores its state when there is room."""
    try:
        yield
    except DatabaseError as error:
        if outages.of(error) is None:
            raise


def _record_stopped(server: Server) -> None:
    Server.objects.filter(pk=server.pk).update(hung_since=None)
    state_log.record_state(server, Server.State.STOPPED, now=timezone.now())
    state_log.clear_last_error(server)


def _wait_until_ready(server: Server, spec: InstanceSpec, run: JobContext) -> None:
    deadline = time.monotonic() + READY_WITHIN.total_seconds()
    while not readiness.answers(server):
        run.check()
        _raise_if_exited(server, spec, run)
        if time.monotonic() > deadline:
            minutes = READY_WITHIN.total_seconds() / 60
            message = f"The game runs, but RCON did not respond within {minutes:.0f} minutes. Check the server's log."
            state_log.set_last_error(server, message)
            raise Failed(message)
        run.sleep(_READY_CHECK_SECONDS)


def _raise_if_exited(server: Server, spec: InstanceSpec, run: JobContext) -> None:
    """Fail when the game has ended for good. Start it once more when it lost its supervisor."""
    observed = this_host.runtime().observe([server.pk])[server.pk]
    # The supervisor was killed and its game with it, so that nothing restarts it: this job does.
    if observed.is_abandoned:
        run.log(f"The game stopped ({observed.detail}); starting it again.")
        try:
            this_host.runtime().start(spec)
        except RuntimeFault as fault:
            _record_failed_start(server, fault)
            raise Failed(str(fault), may_pass=True) from fault
        return
    # While it is crashed its supervisor restarts it after a pause; the caller goes on waiting.
    if observed.state not in {State.GAVE_UP, State.STOPPED}:
        return
    message = state_log.describe(observed) or "The game stopped before it was ready. Check the server's log."
    state = Server.State.GAVE_UP if observed.state is State.GAVE_UP else Server.State.STOPPED
    state_log.record_state(server, state, now=timezone.now(), detail=message, last_lines=observed.last_lines)
    state_log.set_last_error(server, message)
    # A game that crashes again and again was tried often enough by its supervisor.
    raise Failed(message, may_pass=state == Server.State.STOPPED)


def _quit(server: Server) -> None:
    # A failure only means that the game did not receive it; TERM follows.
    with contextlib.suppress(rcon.RconError, secrets.Unreadable):
        this_host.ask_game(server, "quit", timeout=_QUIT_TIMEOUT_SECONDS)


def _warn_players(server: Server, run: JobContext) -> None:
    """Send the players a message and wait, if the job's `warn_seconds` asks for it."""
    seconds = int(run.params.get("warn_seconds", 0))
    if seconds <= 0 or server.actual_state != Server.State.RUNNING:
        return
    # Quotes and semicolons would end the text and begin another command.
    text = re.sub(
        r'["; \x00-\x1f]+', " ", str(run.params.get("message") or f"This server will stop in {seconds} seconds.")
    )
    with contextlib.suppress(rcon.RconError, secrets.Unreadable):
        this_host.ask_game(server, f"say {text}", timeout=_QUIT_TIMEOUT_SECONDS)
        run.log(f"Message to players: {text}")
    run.sleep(seconds)
