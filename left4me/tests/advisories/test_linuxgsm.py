"""What was reported about LinuxGSM, tried here. `docs/advisories.md` says what it was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.blueprints import translation
from servers.blueprints.checks import findings
from servers.lifecycle import launch_plan
from servers.models import Blueprint, Server

# What a shell would run: the file would be there afterwards.
EVALUATED = ["$(touch {file})", "`touch {file}`", "; touch {file};", "${{x:-$(touch {file})}}"]
COMMANDS = [*EVALUATED, "' | touch {file} '"]


@pytest.mark.parametrize("command", COMMANDS)
def test_linuxgsm_4955_a_pasted_configuration_is_read_and_not_run(tmp_path: Path, command: str) -> None:
    hostile = command.format(file=tmp_path / "ran")
    for text in (
        f'startparameters="-game left4dead2 +map c1m1_hotel +hostname {hostile}"',
        f'hostname="{hostile}"\n./srcds_run +map c1m1_hotel +hostname "$hostname"',
        f'hostname "{hostile}"',
    ):
        translation.translate(arguments=text, config=text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", EVALUATED)
def test_linuxgsm_4955_no_argument_holds_what_a_shell_evaluates(tmp_path: Path, command: str) -> None:
    """`srcds_run` is a shell script too: values of commands move to server.cfg, those of options are refused."""
    hostile = command.format(file=tmp_path / "ran")
    assert findings.check(arguments=f"-tickrate {hostile}", config="")
    spec = launch_plan.instance_spec(
        server=Server(pk=12, name="Friday night", port=27020),
        blueprint=Blueprint(arguments=f'+hostname "{hostile}"', config=""),
        overlays=[],
        overlay_cfgs={},
        rcon_password="s3cret",
        places=launch_plan.HostPaths(overlays={}, game=Path("/srv/game"), cache=Path("/srv/cache")),
    )
    assert not set("$`;") & set("".join(spec.argv))
    assert any(hostile in text for text in spec.generated.values()), "in a cfg, which only the game reads"
