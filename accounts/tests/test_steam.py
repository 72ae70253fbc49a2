"""The Steam ID of a user: confirmed by Steam, which is asked in these tests by a client that answers as it is told."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.test import Client

from accounts import actions, steam_sign_in
from accounts.models import Identity, SteamSource, User
from accounts.views import steam as views
from left4me.audit.models import AuditEntry
from left4me.core.net import fetch

PROVIDER = "https://steam.example/openid"
GABEN = 76561197960287930
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Steam:
    """What Steam is asked, and what it answers."""

    def __init__(self) -> None:
        self.status, self.text = 200, "ns:x\nis_valid:true\n"
        self.fault: Exception | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []

    def client(self, *, hosts: fetch.AllowedHosts, read_timeout: float) -> Steam:
        assert hosts.origins == {("https", "steam.example", 443)} and not hosts.suffixes and not hosts.any_public
        return self

    def __enter__(self) -> Steam:
        return self

    def __exit__(self, *_: object) -> None: ...

    @contextlib.contextmanager
    def post_form(self, url: str, fields: dict[str, str]) -> Iterator[Steam]:
        self.asked.append((url, fields))
        if self.fault is not None:
            raise self.fault
        yield self

    def body(self, *, limit: int, within: float) -> bytes:
        return self.text.encode()


@pytest.fixture
def steam(settings, monkeypatch) -> Steam:
    settings.LEFT4ME_STEAM_OPENID_URL = PROVIDER
    answering = Steam()
    monkeypatch.setattr(steam_sign_in.fetch, "Client", answering.client)
    return answering


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def leave(client: Client) -> dict[str, str]:
    """What the browser is sent to Steam with."""
    address = client.get("/accounts/steam/begin")["Location"]
    assert address.startswith(f"{PROVIDER}/login?")
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def answer(client: Client, **changed: Any) -> str:
    """The address to which Steam sends the browser back, with some fields changed; None leaves one out."""
    return_to = leave(client)["openid.return_to"]
    fields = {
        "openid.ns": "http://specs.openid.net/auth/2.0",
        "openid.mode": "id_res",
        "openid.op_endpoint": f"{PROVIDER}/login",
        "openid.claimed_id": f"{PROVIDER}/id/{GABEN}",
        "openid.identity": f"{PROVIDER}/id/{GABEN}",
        "openid.return_to": return_to,
        "openid.response_nonce": "2026-11-21T12:00:00Zunique",
        "openid.assoc_handle": "1",
        "openid.signed": "signed,op_endpoint,claimed_id,identity,return_to,response_nonce,assoc_handle",
        "openid.sig": "x",
        **{f"openid.{name}": value for name, value in changed.items()},
    }
    path = return_to.removeprefix("http://testserver")
    return f"{path}&{urlencode({name: value for name, value in fields.items() if value is not None})}"


def come_back(client: Client, address: str) -> str:
    return " ".join(str(message) for message in client.get(address, follow=True).context["messages"])


def of(user: User) -> tuple[int | None, str]:
    user.refresh_from_db()
    return user.steam_id, user.steam_source


def test_a_steam_id_is_linked_when_steam_confirms_it(anna, anna_client, steam: Steam):
    assert come_back(anna_client, answer(anna_client)) == "Steam ID confirmed."
    assert of(anna) == (GABEN, "steam")
    assert anna.trusted_steam_id == GABEN
    ((url, fields),) = steam.asked
    assert url == f"{PROVIDER}/login"
    assert fields["openid.mode"] == "check_authentication"
    assert fields["openid.claimed_id"] == f"{PROVIDER}/id/{GABEN}"
    assert all(name.startswith("openid.") for name in fields)
    entry = AuditEntry.objects.get(action="user.steam_link")
    assert (entry.user, entry.details["steam_id"], entry.details["source"]) == (anna, str(GABEN), "steam")


def test_steam_is_asked_for_this_site_and_this_session(anna_client, steam: Steam):
    fields = leave(anna_client)
    assert fields["openid.mode"] == "checkid_setup"
    assert fields["openid.realm"] == "http://testserver/"
    assert re.fullmatch(r"http://testserver/accounts/steam/return\?state=.{20,}", fields["openid.return_to"])
    assert fields["openid.return_to"] != leave(anna_client)["openid.return_to"]


@pytest.mark.parametrize(
    "change",
    [
        {"ns": "http://openid.net/signon/1.1"},
        {"mode": "checkid_setup"},
        {"op_endpoint": "https://evil.example/login"},
        {"return_to": "http://testserver/other"},
        {"identity": f"{PROVIDER}/id/76561197960287931"},
        {"identity": None},
        {"claimed_id": f"https://evil.example/id/{GABEN}", "identity": f"https://evil.example/id/{GABEN}"},
        {"claimed_id": f"{PROVIDER}/id/{GABEN}1", "identity": f"{PROVIDER}/id/{GABEN}1"},
        {"claimed_id": f"{PROVIDER}/id/12345678901234567", "identity": f"{PROVIDER}/id/12345678901234567"},
        {"signed": "op_endpoint,claimed_id,identity,return_to,response_nonce"},
        {"signed": None},
        {"response_nonce": "2026-11-21T11:55:00Zx"},
        {"response_nonce": "2026-11-21T12:05:00Zx"},
        {"response_nonce": "yesterday"},
        {"response_nonce": None},
    ],
    ids=str,
)
def test_an_answer_to_something_else_is_refused_and_steam_is_not_asked(anna, anna_client, steam: Steam, change):
    assert come_back(anna_client, answer(anna_client, **change)) == "Steam's answer is not valid. Try again."
    assert of(anna) == (None, "")
    assert steam.asked == []


@pytest.mark.parametrize("nonce", ["2026-11-21T11:55:01Zx", "2026-11-21T12:04:59Zx"])
def test_clocks_may_be_some_minutes_apart(anna_client, steam: Steam, nonce: str):
    assert come_back(anna_client, answer(anna_client, response_nonce=nonce)) == "Steam ID confirmed."


def test_a_field_that_comes_twice_is_refused(anna, anna_client, steam: Steam):
    address = answer(anna_client) + "&openid.mode=id_res"
    assert "not valid" in come_back(anna_client, address)
    assert of(anna) == (None, "")


def test_an_answer_is_taken_once_and_a_nonce_in_no_other_session(anna, anna_client, stan, steam: Steam):
    address = answer(anna_client)
    assert come_back(anna_client, address) == "Steam ID confirmed."
    assert "not started in this browser" in come_back(anna_client, address)
    other = Client()
    other.force_login(stan)
    assert "was used before" in come_back(other, answer(other))
    assert len(steam.asked) == 1
    assert of(stan) == (None, "")


@pytest.mark.parametrize("state", ["", "state=", "state=guessed"])
def test_an_answer_that_this_browser_did_not_ask_for_is_refused(anna_client, steam: Steam, state: str):
    leave(anna_client)
    assert "not started in this browser" in come_back(anna_client, f"/accounts/steam/return?{state}")
    fresh = come_back(anna_client, "/accounts/steam/return?state=")
    assert "not started in this browser" in fresh, "the state is forgotten"


def test_a_visitor_can_cancel_at_steam(anna_client, steam: Steam):
    assert come_back(anna_client, answer(anna_client, mode="cancel")) == "Sign-in through Steam was cancelled."


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, "ns:x\nis_valid:false\n"), (200, "is_valid:true false"), (500, "is_valid:true"), (200, "")],
)
def test_what_steam_does_not_confirm_is_refused(anna, anna_client, steam: Steam, status: int, text: str):
    steam.status, steam.text = status, text
    assert come_back(anna_client, answer(anna_client)) == "Steam did not confirm this sign-in. Try again."
    assert of(anna) == (None, "")


def test_steam_out_of_reach_says_what_else_there_is(anna, anna_client, steam: Steam):
    steam.fault = fetch.Unreachable("away")
    assert "enter the Steam ID by hand" in come_back(anna_client, answer(anna_client))
    assert of(anna) == (None, "")


def test_steam_is_not_asked_without_end(anna_client, steam: Steam):
    address = "/accounts/steam/return?state=x"
    answers = [anna_client.get(address).status_code for _ in range(views._RETURNS.most + 1)]
    assert (set(answers[:-1]), answers[-1]) == ({302}, 429)


def test_a_confirmed_steam_id_is_not_taken_over_and_an_entered_one_proves_nothing(anna, stan, anna_client, steam):
    actions.link_steam_id(user=stan, steam_id=GABEN, source=SteamSource.USER, by=stan)
    assert come_back(anna_client, answer(anna_client)) == "Steam ID confirmed."
    other = Client()
    other.force_login(stan)
    page = other.post("/accounts/steam-id", {"steam_id": str(GABEN)})
    assert page.status_code == 422
    assert "linked to another user" in page.content.decode()


def test_another_steam_id_ends_signing_in_with_the_one_before(anna):
    for subject in (GABEN, 1):
        Identity.objects.create(
            user=anna, door="steam" if subject == GABEN else "oidc", issuer="x", subject=str(subject)
        )
    actions.link_steam_id(user=anna, steam_id=GABEN, source=SteamSource.ADMIN, by=None)
    assert anna.identities.count() == 2
    actions.link_steam_id(user=anna, steam_id=GABEN + 2, source=SteamSource.ADMIN, by=None)
    assert [each.door for each in anna.identities.all()] == ["oidc"]


def test_a_user_enters_and_unlinks_their_steam_id_which_stays_unconfirmed(anna, anna_client):
    assert anna_client.get("/accounts/steam-id").status_code == 200
    assert anna_client.post("/accounts/steam-id", {"steam_id": "STEAM_1:0:11101"})["Location"] == "/accounts/"
    assert of(anna) == (GABEN, "user")
    assert anna.trusted_steam_id is None
    assert str(GABEN) in anna_client.get("/accounts/steam-id").content.decode()
    assert anna_client.post("/accounts/steam-id/unlink")["Location"] == "/accounts/"
    assert of(anna) == (None, "")
    assert AuditEntry.objects.filter(action="user.steam_unlink").count() == 1
    anna_client.post("/accounts/steam-id/unlink")
    assert AuditEntry.objects.filter(action="user.steam_unlink").count() == 1, "there was nothing to unlink"


def test_a_text_that_is_no_steam_id_is_refused_with_examples(anna, anna_client):
    page = anna_client.post("/accounts/steam-id", {"steam_id": "gaben"})
    assert page.status_code == 422
    assert "STEAM_1:0:11101" in page.content.decode()
    assert of(anna) == (None, "")


def test_an_admin_enters_and_unlinks_the_steam_id_of_a_user(anna, ada_client):
    address = f"/users/{anna.pk}/steam-id"
    assert ada_client.get(address).status_code == 200
    assert ada_client.post(address, {"steam_id": str(GABEN)})["Location"] == "/users"
    assert of(anna) == (GABEN, "admin")
    assert anna.trusted_steam_id == GABEN
    assert ada_client.post(f"{address}/unlink")["Location"] == "/users"
    assert of(anna) == (None, "")
    assert set(AuditEntry.objects.values_list("actor", flat=True)) == {"ada"}


def test_only_admins_enter_the_steam_id_of_others(anna_client, stan):
    for address in (f"/users/{stan.pk}/steam-id", f"/users/{stan.pk}/steam-id/unlink"):
        assert anna_client.post(address, {"steam_id": str(GABEN)}).status_code == 403
    assert of(stan) == (None, "")


def test_the_api_names_the_steam_id_and_who_says_so(anna, anna_client):
    actions.link_steam_id(user=anna, steam_id=GABEN, source=SteamSource.ADMIN, by=None)
    told = anna_client.get("/api/v1/me").json()
    assert (told["steam_id"], told["steam_source"]) == (str(GABEN), "admin")


# --- signing in through Steam ---


@pytest.fixture
def linked(anna, steam: Steam) -> User:
    Identity.objects.create(user=anna, door="steam", issuer=PROVIDER, subject=str(GABEN), label=str(GABEN))
    return anna


def door_answer(client: Client) -> str:
    """As `answer`, for the door of the login page."""
    away = client.get("/accounts/doors/steam/begin?next=/jobs")["Location"]
    fields = {name: values[0] for name, values in parse_qs(urlsplit(away).query).items()}
    return_to = fields["openid.return_to"]
    given = {
        "openid.ns": "http://specs.openid.net/auth/2.0",
        "openid.mode": "id_res",
        "openid.op_endpoint": f"{PROVIDER}/login",
        "openid.claimed_id": f"{PROVIDER}/id/{GABEN}",
        "openid.identity": f"{PROVIDER}/id/{GABEN}",
        "openid.return_to": return_to,
        "openid.response_nonce": "2026-11-21T12:00:00Zdoor",
        "openid.signed": "op_endpoint,claimed_id,identity,return_to,response_nonce,assoc_handle",
    }
    return f"{return_to.removeprefix('http://testserver')}&{urlencode(given)}"


def test_a_linked_steam_account_signs_in(linked, client):
    assert client.get(door_answer(client))["Location"] == "/jobs"
    assert AuditEntry.objects.get(action="session.start").details == {"means": "steam"}
    assert linked.identities.get().last_used_at == NOW


def test_a_steam_account_that_nobody_linked_signs_nobody_in(anna, steam, client):
    actions.link_steam_id(user=anna, steam_id=GABEN, source=SteamSource.STEAM, by=anna)
    assert "linked to no user here" in come_back(client, door_answer(client))


def test_linking_steam_sets_the_steam_id_too(anna, steam, client):
    anna.set_password("correct horse battery")
    anna.save()
    client.post("/accounts/login/", {"username": "anna", "password": "correct horse battery"})
    page = client.get("/accounts/factors/").content.decode()
    link = re.search(r'href="(/accounts/doors/steam/link\?token=[0-9a-f]+)"', page)
    assert link is not None
    away = client.get(link[1])["Location"]
    return_to = parse_qs(urlsplit(away).query)["openid.return_to"][0]
    back = door_answer(Client()).partition("&")[2]
    given = dict(pair.split("=") for pair in back.split("&")) | {"openid.return_to": urlencode({"": return_to})[1:]}
    address = f"{return_to.removeprefix('http://testserver')}&{'&'.join(f'{k}={v}' for k, v in given.items())}"
    assert "Linked." in come_back(client, address)
    assert of(anna) == (GABEN, "steam")
    assert anna.identities.get().subject == str(GABEN)


def test_old_answers_are_remembered_as_long_as_they_are_fresh(anna_client, redis_client, steam):
    come_back(anna_client, answer(anna_client))
    (key,) = redis_client.keys("*steam-nonce*")
    assert redis_client.ttl(key) == timedelta(minutes=10).total_seconds()
