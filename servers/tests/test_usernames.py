"""Names of accounts: sharing finds a user by name, and nobody finds out by trying who has an account."""

from __future__ import annotations

import pytest
import yaml
from django.test import Client

from accounts.throttle import UNKNOWN_NAMES
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers.actions import blueprint_yaml
from servers.models import Server
from servers.tests.factories import make_server


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner)


def test_a_dictionary_of_names_is_not_tried(cast: Cast, server: Server, api: Caller, client: Client) -> None:
    owner = api.by(cast.owner)
    for number in range(UNKNOWN_NAMES.most):
        asked = {"username": f"nobody{number}", "role": "viewer"} if number % 2 else {"person": f"nobody{number}"}
        assert owner.post(f"/servers/{server.pk}/{'shares' if number % 2 else 'admins'}", asked)[0] == 422
    client.force_login(cast.owner)
    for name in ("nobody", "vera"):
        assert owner.post(f"/servers/{server.pk}/shares", {"username": name, "role": "viewer"})[0] == 429
        assert owner.post(f"/servers/{server.pk}/admins", {"person": name})[0] == 429
        page = client.post(f"/servers/{server.pk}/shares", {"username": name, "role": "viewer"})
        assert page.status_code == 429, "the answer is the same whether somebody has the name"
    assert owner.post(f"/servers/{server.pk}/admins", {"person": "76561197960265729"})[0] == 201, "a Steam ID"


def test_names_that_somebody_has_are_not_counted(cast: Cast, server: Server, api: Caller) -> None:
    for _ in range(UNKNOWN_NAMES.most + 1):
        assert api.by(cast.owner).post(f"/servers/{server.pk}/admins", {"person": "vera"})[0] == 201


def test_a_file_of_names_is_no_dictionary_either(cast: Cast, redis_client: object) -> None:
    names = [f"nobody{number}" for number in range(UNKNOWN_NAMES.most + 5)]
    people = [{"user": name} for name in ("otto", *names, "vera")]
    text = yaml.safe_dump({"left4me_blueprint": 1, "name": "x", "game_access": {"people": people}})
    made = blueprint_yaml.load(text, owner=cast.owner, by=cast.owner)
    assert (made.people, made.unknown_users) == (["otto"], [*names, "vera"])
    made = blueprint_yaml.load(text, owner=cast.admin, by=cast.admin)
    assert (made.people, made.unknown_users) == (["otto", "vera"], names), "admins see all accounts"


def test_a_name_that_no_database_can_hold_is_nobody(cast: Cast, server: Server, api: Caller) -> None:
    assert api.by(cast.owner).post(f"/servers/{server.pk}/shares", {"username": "a\0b", "role": "viewer"})[0] == 400
