"""The advisories of Pterodactyl's panel, tried here. `docs/advisories.md` says what each of them was there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts import actions as account_actions
from accounts import secrets, throttle
from accounts.models import ApiToken, Session, User
from accounts.tests.factories import bearer, make_token
from left4me.core.web.asgi import Refusal
from left4me.jobs.models import Job
from left4me.schedules.models import Schedule
from left4me.schedules.tests.factories import make_schedule
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.routes import all_routes
from livestate.models import Order
from overlays.files import uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay
from servers import actions
from servers.actions import blueprint_yaml
from servers.hosts import content
from servers.logs import streams
from servers.models import HostToken, Server, ServerShare
from servers.models.hosts import TOKEN_PREFIX
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

LOGIN = "/accounts/login/"
PASSWORD = "correct horse battery"
MARKUP = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@pytest.fixture(autouse=True)
def _invitations_are_taken(settings: Any) -> None:
    settings.LEFT4ME_SIGNUP = "invite"


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday")


def signed_in(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def by_token(user: User, scope: str) -> Client:
    return Client(headers=bearer(make_token(user, scope=scope)))


def sign_in(name: str, password: str, *, address: str) -> Any:
    return Client().post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address)


def link_of(admin: User, path: str, **fields: str) -> str:
    """The secret of a link that an admin makes at this address."""
    return str(signed_in(admin).post(path, fields).context["link"]).rstrip("/").rpartition("/")[2]


def invitation_by(admin: User) -> str:
    return link_of(admin, "/users/invitations", note="Zoey", days="7")


def password_link_for(user: User, *, by: User) -> str:
    return link_of(by, f"/users/{user.pk}/password-link")


def host_token(name: str) -> str:
    raw = secrets.new(TOKEN_PREFIX)
    HostToken.objects.create(host=make_host(name=name), digest=secrets.digest(raw))
    return raw


@pytest.mark.parametrize("code", ["../../../etc/passwd", "../left4me/settings", "de/../../config", "..%2f..%2fconfig"])
def test_ghsa_24wv_6c99_f843_a_language_is_no_path(code: str) -> None:
    client = Client()
    assert client.post("/accounts/language/", {"language": code}).status_code == 302
    page = client.get(LOGIN, headers={"accept-language": code})
    assert (page.status_code, page.headers["Content-Language"]) == (200, "en")
    assert client.get("/locales/locale.json", {"locale": code, "namespace": "app"}).status_code in (302, 404)


def test_ghsa_24wv_6c99_f843_no_address_takes_a_path_with_slashes() -> None:
    taking = [route.pattern for route in all_routes() if "<path:" in route.pattern]
    # Those of Django's admin are looked up in the database, and are for admins.
    assert [pattern for pattern in taking if not pattern.startswith("/admin/")] == []


def test_ghsa_g7vw_f8p5_c728_a_host_asks_for_the_content_of_another(cast: Cast) -> None:
    overlay = make_overlay(owner=cast.owner, kind=Overlay.Kind.FILES)
    here = make_host(name="one")
    make_server(cast.owner, host=here, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    assert content.find({"authorization": f"Bearer {host_token('one')}"}, overlay.pk) == overlay
    with pytest.raises(Refusal) as refused:
        content.find({"authorization": f"Bearer {host_token('two')}"}, overlay.pk)
    assert refused.value.status == 404


def test_cve_2026_86177_a_viewer_schedules_console_commands(cast: Cast, api: Caller, server: Server) -> None:
    share(server, cast.viewer)
    viewer = api.by(cast.viewer)
    planned = {"name": "x", "server_id": server.pk, "action": "commands", "argument": "quit", "cron": "0 5 * * *"}
    assert viewer.post("/schedules", planned)[0] == 403
    own = make_schedule(cast.viewer, after=datetime(2030, 1, 1, tzinfo=UTC), server=make_server(cast.viewer))
    form = {
        "name": own.name,
        "action": "commands",
        "argument": "say hi",
        "condition": "wait_skip",
        "repeat": "daily",
        "at": "05:30",
        "time_zone": "Europe/Berlin",
        "warn_minutes": "5",
        "wait_minutes": 60,
    }
    client = signed_in(cast.viewer)
    assert client.post(f"/schedules/{own.pk}/edit", {**form, "target": f"server:{server.pk}"}).status_code == 403
    assert client.post(f"/schedules/{own.pk}/edit", {**form, "target": f"server:{own.server_id}"}).status_code == 302
    assert not Schedule.objects.filter(server=server).exists()


def test_ghsa_xvc3_826v_xf47_guesses_from_one_address_lock_out_nobody_else(cast: Cast) -> None:
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    guesses = [
        sign_in(f"nobody{number}", "wrong", address="192.0.2.66").status_code
        for number in range(throttle.ADDRESS.most)
    ]
    assert set(guesses) == {422}
    assert sign_in("nobody", "wrong", address="192.0.2.66").status_code == 429
    assert sign_in("anna", PASSWORD, address="192.0.2.1").status_code == 302


def test_ghsa_fg52_xjfc_9rh8_a_wrong_password_and_an_unknown_name_get_the_same_page(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    hashed: list[str] = []
    for name in ("encode", "verify"):
        work = getattr(secrets.Argon2, name)
        monkeypatch.setattr(
            secrets.Argon2, name, lambda self, *args, work=work: (hashed.append("once"), work(self, *args))[1]
        )
    known, unknown = (sign_in(name, "wrong", address="192.0.2.1") for name in ("anna", "nobody"))
    assert (known.status_code, known.context["form"].errors) == (unknown.status_code, unknown.context["form"].errors)
    assert [template.name for template in known.templates] == [template.name for template in unknown.templates]
    assert len(hashed) == 2, "an answer without the work would come sooner"


def test_ghsa_8r6w_3qq5_4p4r_a_secret_of_one_kind_opens_nothing_of_another(cast: Cast, server: Server) -> None:
    invitation = invitation_by(cast.admin)
    password = password_link_for(cast.owner, by=cast.admin)
    host = host_token("one")
    session = signed_in(cast.owner).cookies["sessionid"].value
    token = make_token(cast.owner, scope="admin")
    for raw in (invitation, password, host, session):
        assert Client().get("/api/v1/me", headers=bearer(raw)).status_code == 401
    for raw in (invitation, password, token, session):
        assert content.host_of({"authorization": f"Bearer {raw}"}) is None
    for raw in (host, token, session, invitation):
        assert Client().get(f"/accounts/new-password/{raw}/").status_code == 404
    for raw in (host, token, session, password):
        assert Client().get(f"/accounts/invitation/{raw}/").status_code == 404
    for raw in (host, token, invitation, password):
        client = Client()
        client.cookies["sessionid"] = raw
        assert client.get("/").status_code == 302


def test_ghsa_8c39_xppg_479c_an_open_log_ends_with_the_share(cast: Cast, server: Server) -> None:
    lent = share(server, cast.operator, ServerShare.Role.OPERATOR)
    log = streams.open_log(cast.operator, str(server.pk))
    assert log is not None and log.standing(cast.operator).allowed
    actions.revoke(share=lent, by=cast.owner)
    assert not log.standing(cast.operator).allowed
    order = {"kind": "command", "value": "status"}
    assert Caller(cast.operator).post(f"/servers/{server.pk}/orders", order)[0] == 404
    assert not Order.objects.exists()


@pytest.mark.parametrize("ending", ["deactivated", "password changed"])
def test_ghsa_hr7j_63v7_vj7g_an_upload_does_not_outlive_its_session(cast: Cast, data: Path, ending: str) -> None:
    overlay = make_overlay(owner=cast.owner, kind=Overlay.Kind.FILES)
    client = signed_in(cast.owner)
    begun = client.post(
        f"/overlays/{overlay.pk}/uploads", json.dumps({"name": "a.txt", "size": 6}), content_type="application/json"
    ).json()
    address = f"/overlays/{overlay.pk}/uploads/{begun['id']}?offset="
    assert client.post(address + "0", b"abc", content_type="application/octet-stream").json() == {"offset": 3}
    if ending == "deactivated":
        signed_in(cast.admin).post(f"/users/{cast.owner.pk}/active", {"is_active": "no"})
    else:
        link = password_link_for(cast.owner, by=cast.admin)
        assert Client().post(f"/accounts/new-password/{link}/", {"password": PASSWORD}).status_code == 302
    late = client.post(address + "3", b"def", content_type="application/octet-stream")
    assert late.status_code in (302, 401)
    assert uploads.received(Upload.objects.get()) == 3


@pytest.mark.parametrize("path", ["/users/invitations", "/accounts/tokens/", "/accounts/alerts/"])
def test_ghsa_wwgq_9jhf_qgw6_another_site_makes_nothing_in_the_name_of_an_admin(cast: Cast, path: str) -> None:
    client = signed_in(cast.admin, enforce_csrf_checks=True)
    answer = client.post(path, {"note": "x", "days": "7", "name": "x", "scope": "admin"})
    assert answer.status_code == 403
    assert not ApiToken.objects.exists()


def test_cve_2021_41176_another_site_signs_nobody_out(cast: Cast) -> None:
    client = signed_in(cast.owner, enforce_csrf_checks=True)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").status_code == 403
    assert client.get("/").status_code == 200


def test_ghsa_7v3x_h7r2_34jv_a_token_opens_no_session_that_outlives_it(cast: Cast) -> None:
    client = Client()
    key = make_token(cast.owner, scope="admin")
    assert client.get("/api/v1/me", headers=bearer(key)).status_code == 200
    assert "sessionid" not in client.cookies
    assert not Session.objects.exists()
    signed_in(cast.owner).post(f"/accounts/tokens/{ApiToken.objects.get().pk}/revoke/")
    assert client.get("/api/v1/me", headers=bearer(key)).status_code == 401
    assert client.get("/").status_code == 302


def test_ghsa_384w_wffr_x63q_an_imported_blueprint_brings_no_markup_to_an_admin(cast: Cast) -> None:
    text = json.dumps(
        {
            "left4me_blueprint": 1,
            "name": MARKUP.replace('"', ""),
            "description": MARKUP,
            "config": [f"// {MARKUP}"],
            "arguments": [f"// {MARKUP}"],
            "overlays": [{"name": MARKUP.replace('"', "")}],
        }
    )
    blueprint = blueprint_yaml.load(text, owner=cast.owner, by=cast.owner).blueprint
    make_server(cast.owner, blueprint=blueprint, name=MARKUP.replace('"', ""))
    client = signed_in(cast.admin)
    address = f"/blueprints/{blueprint.pk}"
    without = {f"{address}/versions", "/servers/new"}
    for path in (
        *(address, f"{address}/edit", f"{address}/versions", "/blueprints", "/servers", "/servers/new", "/audit"),
        *("/admin/servers/blueprint/", f"/admin/servers/blueprint/{blueprint.pk}/change/"),
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        shown = page.content.decode()
        assert "&lt;img src=x" in shown or path in without, path
        assert "<img src=x" not in shown and "<script>alert" not in shown, path


def test_ghsa_5822_pw57_vv37_the_name_of_an_account_is_no_markup(cast: Cast, settings: Any) -> None:
    settings.LEFT4ME_SIGNUP = "open"
    hostile = "<img/src=x/onerror=alert(1)>"
    assert Client().post("/accounts/signup/", {"username": hostile, "password": PASSWORD}).status_code == 422
    owned = make_server(User.objects.create_user(hostile))  # as no form creates it
    client = signed_in(cast.admin)
    for path in ("/users", "/servers", "/admin/servers/server/", f"/servers/{owned.pk}"):
        page = client.get(path).content.decode()
        assert "&lt;img/src=x" in page, path
        assert hostile not in page, path


def test_ghsa_rgmp_4873_r683_what_is_for_one_time_works_once(cast: Cast) -> None:
    password = password_link_for(cast.owner, by=cast.admin)
    invitation = invitation_by(cast.admin)
    again = {"password": "another horse battery"}
    for address, given in (
        (f"/accounts/new-password/{password}/", {"password": PASSWORD}),
        (f"/accounts/invitation/{invitation}/", {"username": "zoey", "password": PASSWORD}),
    ):
        assert Client().post(address, given).status_code == 302
        assert Client().post(address, {**given, **again}).status_code == 404
    cast.owner.refresh_from_db()
    assert cast.owner.check_password(PASSWORD)


@pytest.mark.parametrize("query", ["", "?type=admin", "?type=admin-all", "?owner=anna", "?owner=", "?q=Fri"])
def test_ghsa_6888_7f3w_92jx_no_parameter_lists_the_servers_of_others(cast: Cast, server: Server, query: str) -> None:
    answer = signed_in(cast.stranger).get(f"/api/v1/servers{query}")
    assert answer.status_code == 422 or answer.json()["items"] == []
    below_admin = by_token(cast.admin, "operate").get(f"/api/v1/servers{query}")
    assert below_admin.status_code == 422 or below_admin.json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("patch", "", {"name": "mine", "version": 1}),
        ("delete", "", None),
        ("post", "/actions", {"operation": "start"}),
        ("post", "/orders", {"kind": "command", "value": "quit"}),
        ("get", "/rcon-password", None),
        ("post", "/shares", {"username": "stan", "role": "operator"}),
    ],
)
def test_ghsa_g8gw_6j32_8w7g_a_stranger_acts_on_a_server(
    cast: Cast, api: Caller, server: Server, method: str, path: str, body: object
) -> None:
    there = api.by(cast.stranger).call(method, f"/servers/{server.pk}{path}", body)
    assert there[0] == 404
    server.refresh_from_db()
    assert (server.name, server.shares.count(), Job.objects.count(), Order.objects.count()) == ("Friday", 0, 0, 0)


def test_ghsa_pjmh_7xfm_r4x9_tokens_are_limited(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_actions, "MOST_TOKENS", 2)
    client = signed_in(cast.owner)
    for number in range(4):
        client.post("/accounts/tokens/", {"name": f"t{number}", "scope": "read", "days": 30})
    assert ApiToken.objects.count() == 2
