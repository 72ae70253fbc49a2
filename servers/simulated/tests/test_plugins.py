"""The plugins of SourceMod, as the simulated game prints them."""

from __future__ import annotations

from left4me.testing import smx_files

PLUGINS = "addons/sourcemod/plugins"


def test_plugins_are_listed_with_number_title_version_and_author(start):
    sim = start(files={f"{PLUGINS}/heal.smx": smx_files.plugin("Heal", version="1.2", author="Anna")})
    assert sim.rcon("sm plugins list") == '[SM] Listing 1 plugin:\n  01 "Heal" (1.2) by Anna\n'
    assert "Filename: heal.smx" in sim.rcon("sm plugins info 1")
    assert "SourceMod Version: 1." in sim.rcon("sm version")
    assert "[01] SourceMod (1." in sim.rcon("meta list")


def test_a_plugin_that_lacks_something_fails_with_a_line_in_the_error_log(start):
    spawner = smx_files.plugin("Spawner", plugins=["left4dhooks.smx"])
    sim = start(files={f"{PLUGINS}/spawner.smx": spawner, f"{PLUGINS}/bad.smx": b"nothing"})
    answer = sim.rcon("sm plugins list")
    assert '<Failed> "Spawner"' in answer
    assert 'spawner.smx (Spawner): Could not find required plugin "left4dhooks"' in answer
    (log,) = (sim.tree / "left4dead2/addons/sourcemod/logs").iterdir()
    assert '[SM] Unable to load plugin "spawner.smx": Could not find required plugin "left4dhooks"' in log.read_text()


def test_plugins_are_loaded_unloaded_and_reloaded(start):
    files = {f"{PLUGINS}/heal.smx": smx_files.plugin("Heal"), f"{PLUGINS}/disabled/b.smx": smx_files.plugin("Other")}
    sim = start(files=files)
    assert sim.rcon("sm plugins load disabled/b") == "[SM] Loaded plugin disabled/b.smx successfully.\n"
    assert "already loaded" in sim.rcon("sm plugins load heal.smx")
    assert sim.rcon("sm plugins unload heal") == "[SM] Plugin Heal unloaded successfully.\n"
    assert '"Other"' in sim.rcon("sm plugins list")
    assert '"Heal"' not in sim.rcon("sm plugins list")
    assert sim.rcon("sm plugins unload 9") == "[SM] Plugin index 9 not found.\n"
    assert sim.rcon("sm plugins reload disabled/b.smx") == "[SM] Plugin Other reloaded successfully.\n"
    assert "failed to load: Unable to open file" in sim.rcon("sm plugins load gone")
