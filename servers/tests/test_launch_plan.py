"""What a start runs, compared with files that a reader can judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.testing.cast import Cast
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers.gamehost.spec import InstanceSpec
from servers.lifecycle import launch_plan
from servers.models import Blueprint, Server
from servers.tests.factories import make_blueprint, make_server

GOLDEN = Path(__file__).parent / "golden"
PLACES = {"game": Path("/srv/game/v1"), "cache": Path("/srv/workshop_cache")}


def made(
    *, blueprint: Blueprint | None = None, overlays: list[Overlay] | None = None, cfgs: dict[int, str] | None = None
) -> InstanceSpec:
    overlays = overlays or []
    trees = {overlay.pk: Path(f"/srv/overlays/{overlay.pk}") for overlay in overlays}
    return launch_plan.instance_spec(
        server=Server(pk=12, name="Friday night", port=27020),
        blueprint=blueprint or Blueprint(),
        overlays=overlays,
        overlay_cfgs=cfgs or {},
        rcon_password="s3cret",
        places=launch_plan.HostPaths(overlays=trees, **PLACES),
    )


def as_text(made: InstanceSpec) -> str:
    parts = ["argv:", *(f"  {word!r}" for word in made.argv), "layers:", *(f"  {layer}" for layer in made.layers)]
    for path in sorted(made.generated):
        parts += [f"{path}:", *(f"  {line}" for line in made.generated[path].splitlines())]
    return "\n".join(parts) + "\n"


CASES = {
    "empty": lambda: made(),
    "three_overlays": lambda: made(
        overlays=[
            Overlay(pk=3, expose_cfg=True),
            Overlay(pk=1, expose_cfg=False),
            Overlay(pk=2, expose_cfg=True),
            Overlay(pk=4, expose_cfg=True),
        ],
        cfgs={1: "sv_cheats 1\n", 2: "sv_alltalk 0\n", 3: "sv_alltalk 1\n"},
        blueprint=Blueprint(
            arguments='+map "c5m1_waterfront versus"\n\n// ours\n-tickrate 60',
            config='// für alle\nsv_pure 2\nhostname "Mine; really" // wins\r\n\nsv_tags "a,b"; sv_region 3',
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_start_is_as_its_golden_file_says(case: str) -> None:
    assert as_text(CASES[case]()) == (GOLDEN / f"{case}.txt").read_text()


def test_the_topmost_exposed_overlay_is_executed_last() -> None:
    cfg = launch_plan.server_cfg(name="n", exposed=[3, 2, 1], config="", rcon_password="p")
    assert [line for line in cfg.splitlines() if line.startswith("exec server")] == [
        "exec server_overlay_1",
        "exec server_overlay_2",
        "exec server_overlay_3",
    ]


def test_the_same_rows_give_the_same_spec() -> None:
    assert CASES["three_overlays"]() == CASES["three_overlays"]()


@pytest.mark.django_db
def test_what_is_kept_of_a_start_holds_no_secret(cast: Cast) -> None:
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[make_overlay()]))
    kept = launch_plan.applied(
        server=server, blueprint=server.blueprint, overlays=server.blueprint.layers, game_version="v1"
    )
    assert server.rcon_password not in repr(kept)
