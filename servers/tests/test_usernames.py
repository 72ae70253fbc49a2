"""Names of accounts: sharing finds a user by name, and nobody finds out by trying who has an account."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.throttle import UNKNOWN_NAMES
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
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
    assert owner.post(f"/servers/{server.pk}/shares", {"username": "nobody", "role": "viewer"})[0] == 429
    assert owner.post(f"/servers/{server.pk}/admins", {"person": "nobody"})[0] == 429
    client.force_login(cast.owner)
    assert client.post(f"/servers/{server.pk}/shares", {"username": "nobody", "role": "viewer"}).status_code == 429
    assert owner.post(f"/servers/{server.pk}/shares", {"username": "vera", "role": "viewer"})[0] == 201, (
        "a name exists"
    )


def test_a_file_of_names_is_no_dictionary_either(cast: Cast, api: Caller) -> None:
    def file(names: list[str]) -> dict[str, str]:
        people = "".join(f"    - user: {name}\n" for name in names)
        return {"yaml": f"left4me_blueprint: 1\nname: Names\ngame_access:\n  people:\n{people}"}

    names = [f"nobody{number}" for number in range(UNKNOWN_NAMES.most + 1)]
    assert api.by(cast.owner).post("/blueprints/import", file([*names, "vera"]))[0] == 429
    assert api.by(cast.admin).post("/blueprints/import", file([*names, "vera"]))[0] == 201, "admins see all accounts"
    assert api.by(cast.stranger).post("/blueprints/import", file([*names[:3], '"a\\0b"', "vera"]))[0] == 201


def test_a_name_that_no_database_can_hold_is_nobody(cast: Cast, server: Server, api: Caller) -> None:
    assert api.by(cast.owner).post(f"/servers/{server.pk}/shares", {"username": "a\0b", "role": "viewer"})[0] == 400
