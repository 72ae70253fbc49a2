from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.tests.factories import bearer, make_token
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.bans.models import Ban, BanList
from livestate.bans.tests.factories import make_ban, make_list
from servers.models import ServerShare
from servers.tests.factories import make_server, share

pytestmark = pytest.mark.django_db

ZOEY = str(STEAM_ID_64_BASE + 101)


@pytest.fixture
def api(client, cast):
    """`api("post", "/bans", user, …)`: the answer to a token of the user with the scope `operate`."""

    def call(method: str, path: str, user=None, **body: object):
        headers = bearer(make_token(user or cast.owner, scope="operate"))
        given = {} if method == "get" else {"data": body, "content_type": "application/json"}
        return getattr(client, method)(f"/api/v1{path}", headers=headers, **given)

    return call


def test_a_ban_is_made_read_changed_and_lifted(cast, api):
    server = make_server(cast.owner)
    made = api("post", "/bans", target="STEAM_0:1:50", server_id=server.pk, minutes=60, reason="Spam")
    assert made.status_code == 201
    ban = made.json()
    assert (ban["target"], ban["state"], ban["by"], ban["reason"]) == (ZOEY, "active", "anna", "Spam")
    found = api("get", f"/bans/{ban['id']}").json()
    assert found["servers"] == [{"server_id": server.pk, "state": "stopped", "reason": ""}]
    assert api("patch", f"/bans/{ban['id']}", minutes=0).json()["expires_at"] is None
    assert api("delete", f"/bans/{ban['id']}").status_code == 204
    assert api("delete", f"/bans/{ban['id']}").status_code == 409
    assert api("get", "/bans").json()["count"] == 0
    assert api("get", "/bans?state=lifted&q=STEAM_1:1:50").json()["items"][0]["ended_by"] == "anna"


def test_a_target_that_means_nothing_is_named_by_its_field(api):
    answer = api("post", "/bans", target="Zoey")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "target"


def test_an_operator_bans_on_the_server_and_nowhere_else(cast, api):
    server = make_server(cast.owner)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    bans = make_list(cast.owner, is_default=True)
    assert api("post", "/bans", cast.operator, target=ZOEY, server_id=server.pk).status_code == 201
    assert api("post", "/bans", cast.operator, target=ZOEY, list_id=bans.pk).status_code == 403
    assert api("post", "/bans", cast.stranger, target=ZOEY, list_id=bans.pk).status_code == 404


def test_lists_are_shared_and_subscribed_to(cast, api):
    made = api("post", "/banlists", name="Cheaters", is_shared=True).json()
    assert api("put", f"/banlists/{made['id']}/subscription", cast.stranger).status_code == 204
    (shared,) = [row for row in api("get", "/banlists", cast.stranger).json()["items"] if row["title"] == "Cheaters"]
    assert shared["is_subscribed"] and shared["owner"] == "anna"
    assert api("delete", f"/banlists/{made['id']}/subscription", cast.stranger).status_code == 204
    server = make_server(cast.stranger)
    assert api("put", f"/banlists/{made['id']}/subscription?server={server.pk}", cast.stranger).status_code == 204
    alone = api("get", f"/banlists/{made['id']}", cast.stranger).json()
    assert (alone["is_subscribed"], alone["subscribed_servers"]) == (False, [server.pk])
    assert api("put", f"/banlists/{made['id']}/subscription?server={server.pk}", cast.viewer).status_code == 404
    assert api("patch", f"/banlists/{made['id']}", is_shared=False).json()["is_shared"] is False
    assert api("put", f"/banlists/{made['id']}/subscription", cast.stranger).status_code == 404
    assert api("delete", f"/banlists/{made['id']}").status_code == 204


def test_bans_are_imported_and_exported(cast, api):
    bans = make_list(cast.owner)
    make_ban(bans)
    content = "banid 0 STEAM_1:1:50\nbanid 0 STEAM_1:0:1\nnonsense\n"
    counted = {"added": 1, "known": 1, "ended": 0, "faults": ["nonsense"]}
    assert api("post", f"/banlists/{bans.pk}/import", content=content, dry_run=True).json() == counted
    assert Ban.objects.count() == 1
    assert api("post", f"/banlists/{bans.pk}/import", content=content).json() == counted
    assert Ban.objects.count() == 2
    exported = api("get", f"/banlists/{bans.pk}/export?as=users").content.decode()
    assert set(exported.splitlines()) == {"banid 0 STEAM_1:1:50", "banid 0 STEAM_1:0:1"}
    assert api("get", f"/banlists/{bans.pk}/export").content.startswith(b"target,name,reason")


def command(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_a_command_imports_and_another_exports(cast, tmp_path):
    file = tmp_path / "banned_user.cfg"
    file.write_text("banid 0 STEAM_1:1:50\nnonsense\n")
    given = ("import_bans", str(file), "--owner", "anna", "--list", "Old server")
    assert "1 bans would be added" in command(*given, "--dry-run")
    assert not BanList.objects.exists()
    assert "left out: nonsense" in command(*given)
    assert "0 bans added" in command(*given)
    assert command("export_bans", "--owner", "anna", "--as", "users") == "banid 0 STEAM_1:1:50\n"
    with pytest.raises(CommandError, match="no user"):
        command("import_bans", str(file), "--owner", "nobody")
    with pytest.raises(CommandError, match="No active bans"):
        command("export_bans", "--owner", "otto")


def test_the_order_of_earlier_releases_leads_here(cast, api):
    server = make_server(cast.owner, actual_state="running")
    assert api("post", f"/servers/{server.pk}/orders", kind="ban", value=ZOEY).status_code == 422
    assert reverse("bans:list") == "/bans"
