"""Contract tests for ServerRuntime; every implementation must pass them, with real mounts and processes.

A subclass provides the fixture `stage`.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from servers.gamehost import copies, removals, shadows
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import LaunchFailed, MountFailed, Outcome, RuntimeFault, State
from servers.gamehost.sandbox import landlock
from servers.gamehost.tests.stage import Stage, ask, free_port, order, quit_game, reachable, refusal, value, wait_until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class RuntimeContract:
    def test_a_started_server_runs_and_is_seen_running(self, stage: Stage) -> None:
        spec = stage.spec(1)
        assert stage.runtime.start(spec) is Outcome.STARTED
        wait_until(lambda: reachable(spec))
        seen = stage.observe(spec)
        assert seen.state is State.RUNNING
        assert seen.pid is not None
        assert seen.started_at is not None
        assert seen.restarts == 0

    def test_starting_twice_starts_one_game(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        pid = stage.observe(spec).pid
        assert stage.runtime.start(spec) is Outcome.ALREADY_RUNNING
        assert stage.observe(spec).pid == pid

    def test_two_starts_at_once_start_one_game(self, stage: Stage) -> None:
        spec = stage.spec(1)
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(stage.runtime.start, [spec, spec]))
        assert sorted(outcomes) == [Outcome.ALREADY_RUNNING, Outcome.STARTED]

    def test_a_server_that_never_was_is_stopped(self, stage: Stage) -> None:
        assert stage.runtime.observe([901])[901].state is State.STOPPED
        assert stage.runtime.stop(901) is Outcome.ALREADY_STOPPED
        assert stage.runtime.kill(901) is Outcome.ALREADY_STOPPED
        assert [line.text for line in stage.runtime.tail(901)] == []

    def test_a_file_of_a_running_game_is_removed_and_its_room_is_free(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        value(spec, "__import__('pathlib').Path('left4dead2/a.dem').write_bytes(bytes(5000))")
        directory = ServerDirectory(stage.root / "servers/1")
        changed = removals.changed_at(directory.upper, "left4dead2/a.dem")
        assert changed is not None
        removals.remove(directory, {"left4dead2/a.dem": changed})
        wait_until(lambda: not removals.left(directory, ["left4dead2/a.dem"]))
        assert value(spec, "__import__('os').path.exists('left4dead2/a.dem')") is False
        assert stage.observe(spec).state is State.RUNNING

    def test_a_stop_lets_the_game_quit_and_does_not_restart_it(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        assert stage.runtime.stop(1, quit_game=quit_game(spec)) is Outcome.STOPPED
        seen = stage.observe(spec)
        assert seen.state is State.STOPPED
        assert seen.pid is None
        assert seen.last_exit is not None and seen.last_exit.status == 0
        assert stage.runtime.stop(1, quit_game=quit_game(spec)) is Outcome.ALREADY_STOPPED

    def test_a_game_that_does_not_hear_quit_gets_term(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        assert stage.runtime.stop(1, quit_game=_deaf) is Outcome.STOPPED
        assert stage.observe(spec).state is State.STOPPED

    def test_a_game_that_ignores_term_is_killed(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1, "+ignore_term"))
        assert stage.runtime.stop(1, limits=replace(spec.stop, term_seconds=0.3)) is Outcome.KILLED
        assert stage.observe(spec).state is State.STOPPED
        assert not reachable(spec)

    def test_a_kill_ends_also_what_the_game_left_in_the_background(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        daemon = "__import__('subprocess').Popen(['sleep', '7654'], start_new_session=True).pid"
        assert value(spec, daemon) > 1
        assert stage.runtime.kill(1) is Outcome.KILLED
        assert not _processes_with("7654")
        assert stage.runtime.kill(1) is Outcome.ALREADY_STOPPED

    def test_a_stopped_server_starts_again(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        stage.runtime.stop(1)
        assert stage.runtime.start(spec) is Outcome.STARTED

    def test_a_crash_starts_the_game_again_and_tells_how_it_ended(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        order(spec, "__import__('os').kill(__import__('os').getpid(), 11)")
        wait_until(lambda: stage.observe(spec).restarts == 1 and reachable(spec))
        seen = stage.observe(spec)
        assert seen.state is State.RUNNING
        assert seen.last_exit is not None and seen.last_exit.signal == 11

    def test_a_game_that_keeps_ending_is_given_up_visibly(self, stage: Stage) -> None:
        spec = stage.spec(1, "+exit", "3")
        stage.runtime.start(spec)
        wait_until(lambda: stage.observe(spec).state is State.GAVE_UP, seconds=60)
        seen = stage.observe(spec)
        assert seen.last_exit is not None and seen.last_exit.status == 3
        assert any("leaving at once" in line for line in seen.last_lines)
        assert stage.runtime.stop(1) is Outcome.ALREADY_STOPPED
        assert stage.observe(spec).state is State.STOPPED

    def test_a_server_that_gave_up_can_be_started_again(self, stage: Stage) -> None:
        spec = stage.spec(1, "+exit", "3")
        stage.runtime.start(spec)
        wait_until(lambda: stage.observe(spec).state is State.GAVE_UP, seconds=60)
        healthy = stage.start(stage.spec(1))
        assert stage.observe(healthy).state is State.RUNNING

    def test_the_topmost_layer_wins_and_links_lead_into_the_cache(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        assert value(spec, "open('left4dead2/gameinfo.txt').read()") == "overlay\n"
        assert value(spec, "open('left4dead2/cfg/valve.rc').read()") == "stock\n"
        assert value(spec, "open('left4dead2/addons/99.vpk').read()") == "vpk\n"

    def test_what_a_game_writes_stays_in_its_own_layer(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        value(spec, "open('left4dead2/gameinfo.txt', 'a').write('mine')")
        value(spec, "open('left4dead2/fresh.txt', 'w').write('mine')")
        assert (stage.overlay / "left4dead2/gameinfo.txt").read_text() == "overlay\n"
        assert not (stage.game / "left4dead2/fresh.txt").exists()
        stage.runtime.stop(1)
        stage.start(spec)
        assert value(spec, "open('left4dead2/fresh.txt').read()") == "mine"

    def test_generated_files_are_fresh_at_each_start_and_stale_ones_go(self, stage: Stage) -> None:
        first = {"left4dead2/cfg/server.cfg": "one", "left4dead2/cfg/server_overlay_1.cfg": "two"}
        spec = stage.start(stage.spec(1, generated=first))
        value(spec, "open('left4dead2/cfg/server.cfg', 'w').write('tampered')")
        stage.runtime.stop(1)
        spec = stage.start(stage.spec(1, generated={"left4dead2/cfg/server.cfg": "three"}))
        assert value(spec, "open('left4dead2/cfg/server.cfg').read()") == "three"
        assert sorted(value(spec, "__import__('os').listdir('left4dead2/cfg')")) == ["server.cfg", "valve.rc"]

    def test_a_replaceable_file_is_exchanged_below_a_running_game(self, stage: Stage) -> None:
        name = "left4dead2/addons/sourcemod/configs/admins_simple.ini"
        read = f"open('{name}').read()"
        spec = stage.start(stage.spec(1, replaceable={name: "one"}))
        assert value(spec, read) == "one"
        directory = stage.directory(1)
        assert directory.has_replaceable(name)
        directory.write_replaceable({name: "two"})
        assert value(spec, read) == "two"
        # A spec for the next start that comes while the game runs leaves its files in place.
        assert stage.runtime.start(replace(spec, replaceable={name: "three"})) is Outcome.ALREADY_RUNNING
        assert value(spec, read) == "three"
        stage.runtime.kill(1)
        spec = stage.start(stage.spec(1))
        assert not directory.has_replaceable(name)

    def test_a_file_that_is_moved_for_one_server_is_at_its_new_path_in_that_game_alone(self, stage: Stage) -> None:
        folder = "left4dead2/addons/sourcemod/configs"
        old, new = f"{folder}/admins_simple.ini", f"{folder}/disabled/admins_simple.ini"
        look = f"(os.path.exists('{old}'), os.path.exists('{new}') and open('{new}').read())"
        moved = stage.start(stage.spec(1, moved={old: new, f"{folder}/gone.ini": f"{folder}/b.ini"}))
        assert value(moved, f"(os := __import__('os')) and {look}") == [False, "of the overlay\n"]
        other = stage.start(stage.spec(2))
        assert value(other, f"(os := __import__('os')) and {look}") == [True, False]
        assert stage.directory(1).read_moved()[old] == new
        # The next start has it where the overlay has it, and what the server has of its own moves too.
        stage.runtime.kill(1)
        spec = stage.start(stage.spec(1))
        assert value(spec, f"(os := __import__('os')) and {look}") == [True, False]
        value(spec, f"open('{old}', 'w').write('of the server')")
        stage.runtime.kill(1)
        spec = stage.start(stage.spec(1, moved={old: new}))
        assert value(spec, f"(os := __import__('os')) and {look}") == [False, "of the server"]

    def test_a_link_planted_by_the_game_does_not_lead_a_generated_file_outside(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        outside = stage.root / "outside"
        outside.mkdir(exist_ok=True)
        plant = f"os.symlink({str(outside)!r}, 'left4dead2/cfg')"
        value(spec, f"import os, shutil; shutil.rmtree('left4dead2/cfg'); {plant}; value = 1")
        stage.runtime.stop(1)
        stage.start(spec)
        assert list(outside.iterdir()) == []
        assert value(spec, "open('left4dead2/cfg/server.cfg').read()") == spec.generated["left4dead2/cfg/server.cfg"]

    @pytest.mark.parametrize(
        "tampering",
        [
            "os.chmod(name, 0o400)",
            "os.unlink(name); os.mkdir(name); open(name + '/mine', 'w')",
            "os.unlink(name); os.symlink('valve.rc', name)",
            "os.unlink(name); os.link('left4dead2/cfg/valve.rc', name)",
            "os.unlink(name); os.makedirs(name + '/in/mine'); os.chmod(name + '/in', 0)",
            "os.chmod('left4dead2/cfg', 0)",
            "os.chmod('.', 0)",
            "shutil.rmtree('left4dead2/cfg'); open('left4dead2/cfg', 'w')",
        ],
    )
    def test_what_a_server_has_of_its_own_never_wins_over_a_generated_file(self, stage: Stage, tampering: str) -> None:
        spec = stage.start(stage.spec(1))
        name = "left4dead2/cfg/server.cfg"
        value(spec, f"import os, shutil; name = {name!r}; {tampering}; value = 1")
        stage.runtime.stop(1)
        spec = stage.start(stage.spec(1, generated={name: 'rcon_password "new"\n'}))
        assert value(spec, f"open({name!r}).read()") == 'rcon_password "new"\n'
        assert value(spec, "open('left4dead2/gameinfo.txt').read()") == "overlay\n"

    def test_a_file_that_the_game_copied_up_hides_its_update_until_it_is_set_aside(self, stage: Stage) -> None:
        name = "left4dead2/cfg/valve.rc"
        read = f"open({name!r}).read()"
        spec = stage.start(stage.spec(1))
        value(spec, f"open({name!r}, 'a').close()")
        stage.runtime.stop(1)
        directory, layers = stage.directory(1), [stage.overlay, stage.game]
        besides = directory.read_generated()
        (same,) = shadows.find(directory.upper, layers, besides=besides)
        assert (same.path, same.layer, same.state) == (name, 1, shadows.State.SAME)
        (stage.game / name).write_text("update\n")
        (outdated,) = shadows.find(directory.upper, layers, besides=besides)
        assert outdated.state is shadows.State.OUTDATED
        stage.start(spec)
        assert value(spec, read) == "stock\n"
        stage.runtime.stop(1)
        copies.set_aside(directory, [name], now=1.0)
        assert shadows.find(directory.upper, layers, besides=besides) == []
        stage.start(spec)
        assert value(spec, read) == "update\n"
        stage.runtime.stop(1)
        assert copies.put_back(directory).done == 1
        stage.start(spec)
        assert value(spec, read) == "stock\n"

    def test_a_file_that_the_game_deleted_comes_back_when_its_mark_is_set_aside(self, stage: Stage) -> None:
        name = "left4dead2/cfg/valve.rc"
        spec = stage.start(stage.spec(1))
        value(spec, f"__import__('os').unlink({name!r})")
        stage.runtime.stop(1)
        directory = stage.directory(1)
        found = shadows.find(directory.upper, [stage.overlay, stage.game], besides=directory.read_generated())
        assert [(each.path, each.state) for each in found] == [(name, shadows.State.DELETED)]
        copies.set_aside(directory, [name], now=1.0)
        stage.start(spec)
        assert value(spec, f"open({name!r}).read()") == "stock\n"

    def test_a_folder_that_the_game_made_anew_hides_the_original_until_it_is_set_aside(self, stage: Stage) -> None:
        name = "left4dead2/cfg"
        spec = stage.start(stage.spec(1, generated={}))
        value(spec, f"import os, shutil; shutil.rmtree({name!r}); os.mkdir({name!r}); open({name!r} + '/mine', 'w')")
        stage.runtime.stop(1)
        directory, layers = stage.directory(1), [stage.overlay, stage.game]
        found = shadows.find(directory.upper, layers)
        assert [(each.path, each.state) for each in found] == [(f"{name}/", shadows.State.FOLDER)]
        copies.set_aside(directory, [f"{name}/"], now=1.0)
        assert shadows.find(directory.upper, layers) == []
        stage.start(spec)
        assert sorted(value(spec, f"__import__('os').listdir({name!r})")) == ["mine", "valve.rc"]
        stage.runtime.stop(1)
        assert copies.put_back(directory).done == 1
        stage.start(spec)
        assert value(spec, f"__import__('os').listdir({name!r})") == ["mine"]

    def test_a_missing_layer_fails_the_mount_in_words_and_leaves_nothing(self, stage: Stage) -> None:
        spec = stage.spec(1, layers=(str(stage.root / "gone"), str(stage.game)))
        with pytest.raises(MountFailed, match="gone does not exist"):
            stage.runtime.start(spec)
        assert stage.observe(spec).state is State.STOPPED
        assert stage.runtime.start(stage.spec(1)) is Outcome.STARTED

    def test_a_missing_program_fails_the_launch_in_words(self, stage: Stage) -> None:
        with pytest.raises(LaunchFailed, match="srcds_run"):
            stage.runtime.start(stage.spec(1, argv=("./srcds_run",)))
        assert stage.runtime.observe([1])[1].state is State.STOPPED

    def test_two_hundred_layers_are_composed(self, stage: Stage) -> None:
        layers = []
        for number in range(198):
            layer = stage.root / f"overlays/many-{number}-{'long' * 20}"
            layer.mkdir(exist_ok=True)
            (layer / f"file{number}").write_text(str(number))
            layers.append(str(layer))
        spec = stage.start(stage.spec(1, layers=(*layers, str(stage.overlay), str(stage.game))))
        assert value(spec, "[open(f'file{n}').read() for n in (0, 99, 197)]") == ["0", "99", "197"]

    def test_no_mount_of_a_server_shows_on_the_host(self, stage: Stage) -> None:
        stage.start(stage.spec(1))
        assert str(stage.root / "servers") not in Path("/proc/self/mountinfo").read_text()

    def test_the_log_holds_what_the_game_said_over_several_starts(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        stage.runtime.stop(1)
        stage.start(spec)
        wait_until(lambda: _texts(stage).count(f"ready on {spec.port}") == 2)
        times = [line.at for line in stage.runtime.tail(1) if line.at]
        assert times == sorted(times)

    def test_a_tail_gives_the_last_lines_only(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        value(spec, "[print('line', n, flush=True) for n in range(300)]")
        wait_until(lambda: "line 299" in _texts(stage))
        lines = stage.runtime.tail(1, lines=20)
        assert len(lines) == 20
        assert lines[-1].text == "line 299"

    def test_following_goes_on_after_a_cursor_without_gap_or_repetition(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        value(spec, "[print('line', n, flush=True) for n in range(500)]")
        wait_until(lambda: "line 499" in _texts(stage))
        after = next(line for line in stage.runtime.tail(1, lines=400) if line.text == "line 200")
        texts = stage.runtime.call_follow(1, after.cursor, "line 499")
        assert texts == [f"line {n}" for n in range(201, 500)]

    def test_one_unreadable_server_takes_nothing_from_the_others(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        seen = stage.runtime.observe([902, 1, 903])
        assert list(seen) == [902, 1, 903]
        assert seen[1].state is State.RUNNING
        assert ask(spec, "1") == {"value": 1}

    def test_resources_of_a_running_server_are_told(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        value(spec, "open('left4dead2/big', 'wb').write(b'x' * 2_000_000)")
        used = stage.runtime.resources([1], with_disk=[1])[1]
        assert used.disk_bytes is not None and used.disk_bytes >= 2_000_000
        assert used.cpu_seconds is None or used.cpu_seconds >= 0
        stage.runtime.stop(1)
        assert stage.runtime.resources([1], with_disk=[1])[1].memory_bytes is None

    def test_deleting_keeps_a_tar_of_the_writable_layer(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        shut = "os.mkdir('shut'); open('shut/in', 'w').write('kept'); os.chmod('shut/in', 0); os.chmod('shut', 0)"
        value(spec, f"import os; {shut}; os.mkfifo('pipe'); value = 1")
        with pytest.raises(RuntimeFault, match="running"):
            stage.runtime.delete(1, now=NOW)
        stage.runtime.stop(1)
        assert stage.runtime.delete(1, now=NOW) is Outcome.DELETED
        assert stage.runtime.delete(1, now=NOW) is Outcome.ALREADY_DELETED
        assert not (stage.root / "servers/1").exists()
        assert (stage.root / "deleted/1-20260102T030405Z.tar.gz").stat().st_size > 0


class HostileGame:
    """What the sandbox refuses to native code inside the game; one test for each item."""

    def test_it_cannot_read_the_database_or_a_secret(self, stage: Stage) -> None:
        secret = stage.root / "secret.key"
        secret.write_text("secret")
        spec = stage.start(stage.spec(1))
        for path in (secret, stage.root, "/root", "/home", "/etc/shadow", "/work", stage.root / "servers/1/spec.json"):
            assert refusal(spec, f"__import__('os').listdir({str(path)!r})") in (
                "FileNotFoundError",
                "PermissionError",
            )

    def test_it_cannot_read_another_servers_tree(self, stage: Stage) -> None:
        other = stage.start(stage.spec(2))
        value(other, "open('private', 'w').write('x')")
        spec = stage.start(stage.spec(1))
        assert refusal(spec, f"open({str(stage.root / 'servers/2/upper/private')!r})") == "FileNotFoundError"
        assert refusal(spec, "open('private')") == "FileNotFoundError"

    def test_it_cannot_leave_through_dots_or_kept_directories(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        top = "sorted(__import__('os').listdir('/../../../../game/../'))"
        assert value(spec, top) == value(spec, "sorted(__import__('os').listdir('/'))")
        assert set(value(spec, "[__import__('os').readlink(f'/proc/1/{n}') for n in ()]")) == set()
        assert refusal(spec, "__import__('os').listdir('/proc/1/root')") == "PermissionError"
        assert refusal(spec, "__import__('os').listdir('/proc/1/fd')") == "PermissionError"

    def test_it_inherits_no_open_file(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        code = "[__import__('os').readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)]"
        assert value(spec, code)[0] == "/dev/null"
        count = value(spec, "len(__import__('os').listdir('/proc/self/fd'))")
        assert count <= 6  # three standard ones, the listener, this connection, the listing

    def test_it_cannot_write_to_the_cache_or_the_system(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        for path in (
            "/workshop_cache/99.vpk",
            "/usr/bin/env",
            "/etc/passwd",
            "/x",
            "/dev/x",
            "left4dead2/addons/99.vpk",
        ):
            assert refusal(spec, f"open({path!r}, 'a')") in ("OSError", "PermissionError")
        assert (stage.cache / "99.vpk").read_text() == "vpk\n"

    def test_it_sees_no_process_but_its_own(self, stage: Stage) -> None:
        stage.start(stage.spec(2))
        spec = stage.start(stage.spec(1))
        pids = value(spec, "[p for p in __import__('os').listdir('/proc') if p.isdigit()]")
        assert sorted(map(int, pids)) == [1, 2]

    def test_it_cannot_end_or_trace_process_1(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        value(spec, "__import__('os').kill(1, 9)")
        value(spec, "__import__('os').kill(1, 19)")
        attach = "__import__('ctypes').CDLL(None, use_errno=True).ptrace(16, 1, 0, 0)"
        assert value(spec, attach) == -1
        assert refusal(spec, "open('/proc/1/mem', 'rb')") == "PermissionError"

    @pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter exists for x86 only")
    def test_its_processes_trace_each_other_only_where_the_blueprint_allows_it(self, stage: Stage) -> None:
        program = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)"
        traced = f"__import__('subprocess').call([__import__('sys').executable, '-c', {program!r}])"
        assert value(stage.start(stage.spec(1)), traced) == 1
        assert value(stage.start(stage.spec(2, allow_ptrace=True)), traced) == 0

    def test_it_is_not_root_and_holds_no_capability(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        assert value(spec, "__import__('os').getuid()") != 0
        status = value(spec, "open('/proc/self/status').read()")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {facts[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
        assert facts["NoNewPrivs"] == "1"

    def test_it_cannot_become_root_by_a_set_user_id_program(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        assert refusal(spec, "__import__('os').setuid(0)") in ("PermissionError", "OSError")
        mounts = value(spec, "open('/proc/self/mountinfo').read()")
        assert all("nosuid" in line for line in mounts.splitlines())

    @pytest.mark.parametrize("flags", [0x10000000, 0x00020000, 0x20000000])
    def test_it_cannot_make_namespaces(self, stage: Stage, flags: int) -> None:
        spec = stage.start(stage.spec(1))
        code = f"__import__('ctypes').CDLL(None, use_errno=True).unshare({flags})"
        assert value(spec, code) == -1

    def test_it_cannot_mount_or_change_root(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        library = "__import__('ctypes').CDLL(None, use_errno=True)"
        assert value(spec, f"{library}.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)") == -1
        assert value(spec, f"{library}.umount2(b'/game', 2)") == -1
        assert refusal(spec, "__import__('os').chroot('/tmp')") == "PermissionError"

    def test_it_gets_no_proxy_or_secret_from_the_environment(self, stage: Stage, monkeypatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
        monkeypatch.setenv("LEFT4ME_SECRET_KEY", "secret")
        spec = stage.start(stage.spec(1, env={"SIM_SEED": "1"}))
        names = value(spec, "sorted(__import__('os').environ)")
        assert set(names) <= {"HOME", "LANG", "LC_CTYPE", "PATH", "PWD", "SIM_SEED", "TMPDIR", "USER"}
        launcher_environment = "open('/proc/1/environ').read()"
        assert refusal(spec, launcher_environment) == "PermissionError"

    def test_its_files_processes_and_descriptors_are_limited(self, stage: Stage) -> None:
        limits = replace(stage.spec(1).limits, file_size=100_000, open_files=64, tasks=20)
        spec = stage.start(stage.spec(1, limits=limits))
        write = "__import__('signal').signal(25, 1), open('left4dead2/big', 'wb').write(b'x' * 200_000)"
        assert refusal(spec, write) == "OSError"
        assert refusal(spec, "[open('/dev/null') for _ in range(100)]") == "OSError"
        fork = "[__import__('subprocess').Popen(['sleep', '60']) for _ in range(40)]"
        assert refusal(spec, fork) == "BlockingIOError"

    @pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter exists for x86 only")
    @pytest.mark.parametrize("family", [socket.AF_ALG, socket.AF_PACKET, socket.AF_VSOCK])
    def test_it_opens_no_socket_that_reaches_the_kernel_or_the_hypervisor(self, stage: Stage, family: int) -> None:
        # Not PermissionError, which a lack of capabilities gives.
        assert refusal(stage.start(stage.spec(1)), f"__import__('socket').socket({int(family)}, 2)") == "OSError"

    @pytest.mark.skipif(landlock.version() < 4, reason="needs Linux 6.7")
    def test_it_reaches_no_service_on_loopback_but_the_ports_it_was_given(self, stage: Stage) -> None:
        with socket.create_server(("127.0.0.1", 0)) as service:
            port = service.getsockname()[1]
            connect = f"bool(__import__('socket').create_connection(('127.0.0.1', {port}), timeout=5))"
            spec = stage.start(stage.spec(1))
            assert refusal(spec, connect) == "PermissionError"
            spec = stage.start(stage.spec(2, connect_ports=(port,)))
            assert value(spec, connect) is True

    @pytest.mark.skipif(landlock.version() < 6, reason="needs Linux 6.12")
    def test_it_reaches_no_abstract_socket_of_the_host(self, stage: Stage) -> None:
        name = f"left4me-test-{stage.spec(1).port}"
        with socket.socket(socket.AF_UNIX) as service:
            service.bind(f"\0{name}")
            service.listen()
            connect = f"__import__('socket').socket(1).connect('\\0{name}')"
            assert refusal(stage.start(stage.spec(1)), connect) == "PermissionError"

    @pytest.mark.skipif(landlock.version() < 4, reason="needs Linux 6.7")
    def test_it_listens_on_no_port_but_its_own(self, stage: Stage) -> None:
        spec = stage.start(stage.spec(1))
        code = f"bool(__import__('socket').create_server(('127.0.0.1', {free_port()})))"
        assert refusal(spec, code) == "PermissionError"


def _deaf() -> None:
    raise TimeoutError("no answer from RCON")


def _texts(stage: Stage) -> list[str]:
    return [line.text for line in stage.runtime.tail(1, lines=1000)]


def _processes_with(word: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_text().split("\0"):
                found.append(path)
        except OSError:
            continue
    return found
