"""A rotation goes with its blueprint into copies and exports."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from left4me.testing.cast import Cast
from livestate.rotation import actions as rotation_actions
from livestate.rotation.models import Rotation
from servers import actions
from servers.actions import blueprint_yaml
from servers.models import Blueprint
from servers.tests.factories import make_blueprint

pytestmark = pytest.mark.django_db


@pytest.fixture
def blueprint(cast: Cast) -> Blueprint:
    blueprint = make_blueprint(cast.owner, name="Evenings")
    rotation_actions.set_rotation(
        of=blueprint,
        by=cast.owner,
        codes=["campaign:c1m1_hotel", "map:c8m5_rooftop"],
        sequence=Rotation.Sequence.SHUFFLED,
        repeats=False,
        wait_seconds=45,
    )
    return blueprint


def content(blueprint: Blueprint) -> dict[str, object]:
    names = ("is_on", "entries", "sequence", "repeats", "wait_seconds", "survival_rounds")
    return Rotation.objects.filter(blueprint=blueprint).values(*names).get()


def test_it_comes_back_from_an_export(cast: Cast, blueprint: Blueprint):
    text = blueprint_yaml.dump(blueprint)
    assert "map: c8m5_rooftop" in text
    loaded = blueprint_yaml.load(text, owner=cast.stranger, by=cast.stranger).blueprint
    assert content(loaded) == content(blueprint)


def test_a_copy_has_its_own(cast: Cast, blueprint: Blueprint):
    copy, _left_out = actions.clone_blueprint(blueprint=blueprint, by=cast.owner)
    assert content(copy) == content(blueprint)
    rotation_actions.set_rotation(of=copy, by=cast.owner, codes=["campaign:c2m1_highway"])
    assert len(content(blueprint)["entries"]) == 2


def test_a_blueprint_without_a_rotation_is_exported_without_one(cast: Cast):
    text = blueprint_yaml.dump(make_blueprint(cast.owner))
    assert "rotation" not in text
    loaded = blueprint_yaml.load(text, owner=cast.owner, by=cast.owner).blueprint
    assert not Rotation.objects.filter(blueprint=loaded).exists()


@pytest.mark.parametrize(
    "lines",
    [
        "rotation: {wait_seconds: 1}",
        "rotation: {entries: [{kind: finale, map: c1m1_hotel}]}",
        "rotation: {entries: [{kind: map, map: ''}]}",
        r'rotation: {entries: [{kind: map, map: "a\0"}]}',
        "rotation: {seed: 1}",
        "rotation: 7",
        f"rotation: {{entries: [{', '.join(['{kind: map, map: a}'] * 201)}]}}",
    ],
)
def test_what_is_no_rotation_is_refused_with_its_place(cast: Cast, lines: str):
    with pytest.raises(ValidationError, match=r"rotation"):
        blueprint_yaml.load(f"left4me_blueprint: 1\nname: x\n{lines}\n", owner=cast.owner, by=cast.owner)
    assert not Blueprint.objects.exists()
