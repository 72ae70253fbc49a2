"""One file that another left4me can read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts import actions as account_actions
from accounts.models import SteamSource, User
from left4me.testing.cast import Cast
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers import actions
from servers.actions import blueprint_yaml
from servers.game_access import lists
from servers.models import Blueprint, GamePerson
from servers.tests.factories import make_blueprint
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db

GABEN = 76561197960287930


@pytest.fixture
def blueprint(cast: Cast) -> Blueprint:
    maps = make_overlay(name="Maps", kind="workshop", owner=cast.owner)
    for steam_id in (3434972877, 7):
        OverlayWorkshopItem.objects.create(overlay=maps, item=WorkshopItem.objects.create(steam_id=steam_id))
    layers = [maps, make_overlay(name="Base"), make_overlay(name="Mine", owner=cast.owner)]
    return make_blueprint(
        cast.owner,
        name="Zoë's",
        description="two\nlines",
        arguments="+map c1m1_hotel\n\n-tickrate 60",
        config='// why: "because"\n\thostname "a: b #1"\n\n- not yaml',
        overlays=layers,
    )


def test_a_blueprint_comes_back_as_it_went(cast: Cast, blueprint: Blueprint) -> None:
    blueprint.config = '// why: "because"\n\thostname "a: b #1"\n\nsv_tags "x"'
    made = blueprint_yaml.load(blueprint_yaml.dump(blueprint), owner=cast.owner, by=cast.owner)
    copy = made.blueprint
    assert (copy.name, copy.description, copy.arguments) == ("Zoë's (2)", blueprint.description, blueprint.arguments)
    assert copy.config.split("\n")[1].strip() == 'hostname "a: b #1"'
    assert copy.layers == blueprint.layers
    assert made.made == made.missing == []


def test_the_admins_come_back_with_their_accounts(cast: Cast, blueprint: Blueprint) -> None:
    account_actions.link_steam_id(user=cast.viewer, steam_id=GABEN, source=SteamSource.STEAM, by=None)
    soon = timezone.now() + timedelta(days=1)
    blueprint.config = ""
    actions.set_person(of=blueprint, person="vera", by=cast.owner, until=soon)
    actions.set_person(of=blueprint, person="otto", by=cast.owner)
    actions.set_person(of=blueprint, person=str(GABEN + 2), by=cast.owner, role="custom", flags="cd", immunity=9)
    actions.set_rules(of=blueprint, by=cast.owner, whitelist=True, reserved_slots=2)
    made = blueprint_yaml.load(blueprint_yaml.dump(blueprint), owner=cast.owner, by=cast.owner)
    assert lists.content(made.blueprint) == lists.content(blueprint)
    assert (sorted(made.people), made.unknown_users) == ([str(GABEN + 2), "otto", "vera"], [])


def test_a_person_without_an_account_here_is_listed_by_steam_id(cast: Cast, blueprint: Blueprint) -> None:
    account_actions.link_steam_id(user=cast.viewer, steam_id=GABEN, source=SteamSource.STEAM, by=None)
    blueprint.config = ""
    actions.set_person(of=blueprint, person="vera", by=cast.owner)
    actions.set_person(of=blueprint, person="otto", by=cast.owner)
    text = blueprint_yaml.dump(blueprint)
    # Here, somebody else is called vera, and nobody otto.
    account_actions.link_steam_id(user=cast.viewer, steam_id=GABEN + 2, source=SteamSource.STEAM, by=None)
    User.objects.filter(username="otto").delete()
    made = blueprint_yaml.load(text, owner=cast.owner, by=cast.owner)
    row = GamePerson.objects.of(made.blueprint).get()
    assert (row.user, row.steam_id, row.name) == (None, GABEN, "vera")
    assert made.unknown_users == ["otto"]


def test_another_installation_makes_workshop_overlays_and_names_what_it_lacks(
    cast: Cast, blueprint: Blueprint
) -> None:
    blueprint.config = ""
    text = blueprint_yaml.dump(blueprint)
    Blueprint.objects.all().delete()
    Overlay.objects.all().delete()
    WorkshopItem.objects.all().delete()
    base = make_overlay(name="BASE")
    made = blueprint_yaml.load(text, owner=cast.stranger, by=cast.stranger)
    maps = Overlay.objects.get(name="Maps")
    assert (made.made, made.missing) == (["Maps"], ["Mine"])
    assert made.blueprint.layers == [maps, base]
    assert maps.owner == cast.stranger
    assert set(maps.workshop_links.values_list("item__steam_id", flat=True)) == {3434972877, 7}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not an exported blueprint"),
        ("just words", "not an exported blueprint"),
        ("{", "not valid YAML"),
        ("left4me_blueprint: 2\nname: x", "format 2"),
        ("left4me_blueprint: 1", "name"),
        ("left4me_blueprint: 1\nname: x\nsurprise: 1", "surprise"),
        ('left4me_blueprint: 1\nname: x\nconfig: ["say \\x07"]', "Line 1"),
        ("left4me_blueprint: 1\nname: x\ngame_access: {people: [{steam_id: 7}]}", "not a Steam ID of a person"),
        ("left4me_blueprint: 1\nname: x\ngame_access: {people: [{role: emperor}]}", "game_access.people.0.role"),
        ('left4me_blueprint: 1\nname: x\nconfig: ["sv_pure 2\\nsay \\x07"]', "Line 2"),
        ('left4me_blueprint: 1\nname: "a\\"b"', "quotation"),
        ("a: &a [1]\nb: [*a, *a]", "aliases"),
        ("!!python/object/apply:os.system [id]", "not valid YAML"),
        ("[" * 5000, "too large"),
        ("x" * 300_000, "too large"),
        (
            "left4me_blueprint: 1\nname: x\noverlays: [{name: a, kind: workshop, workshop_items: [-1]}]",
            "not a workshop",
        ),
    ],
)
def test_what_is_no_blueprint_is_refused_in_words_and_leaves_nothing(cast: Cast, text: str, word: str) -> None:
    with pytest.raises(ValidationError) as refused:
        blueprint_yaml.load(text, owner=cast.owner, by=cast.owner)
    assert word in str(refused.value.messages), refused.value.messages
    assert not Blueprint.objects.exists()
    assert not Overlay.objects.exists()


def test_the_page_downloads_a_file_and_takes_it_back(cast: Cast, client: Client) -> None:
    blueprint = make_blueprint(cast.owner, name="Friday night", config="sv_pure 2")
    client.force_login(cast.owner)
    response = client.get(f"/blueprints/{blueprint.pk}/export")
    assert 'filename="friday-night.yaml"' in response["Content-Disposition"]
    file = SimpleUploadedFile("x.yaml", response.content)
    response = client.post("/blueprints/import", {"file": file})
    assert Blueprint.objects.exclude(pk=blueprint.pk).get().config == "sv_pure 2"
    response = client.post("/blueprints/import", {"file": SimpleUploadedFile("x.yaml", b"\xff\xfe")})
    assert response.status_code == 422
