"""Who may make an account, and links that work once."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import IntegrityError
from django.test import Client

from accounts import actions, secrets
from accounts.models import OneTimeLink, User
from accounts.tasks import prune

SIGN_UP = "/accounts/signup/"
FORM = {"username": "zoey", "password": "correct horse battery"}


@pytest.fixture(params=["invite", "open"])
def _takes_invitations(settings, request):
    settings.LEFT4ME_SIGNUP = request.param


@pytest.fixture
def invitation(ada, ada_client, settings):
    """The address of a fresh invitation."""
    answer = ada_client.post("/users/invitations", {"note": "Zoey", "days": "7"})
    return answer.context["link"].removeprefix("http://testserver")


def test_where_sign_up_is_open_anybody_gets_in(settings, client, db):
    settings.LEFT4ME_SIGNUP = "open"
    assert client.get(SIGN_UP).status_code == 200
    assert client.post(SIGN_UP, FORM)["Location"] == "/"
    assert client.get("/accounts/").context["user"].username == "zoey"
    assert not User.objects.get().is_admin


@pytest.mark.parametrize("mode", ["invite", "closed"])
def test_where_it_is_not_nobody_does(settings, client, db, mode):
    settings.LEFT4ME_SIGNUP = mode
    assert client.get(SIGN_UP).status_code == 403
    assert client.post(SIGN_UP, FORM).status_code == 403
    assert not User.objects.exists()


def test_the_form_cannot_make_an_admin(settings, client, db):
    settings.LEFT4ME_SIGNUP = "open"
    client.post(SIGN_UP, FORM | {"is_admin": "on", "is_active": "", "id": "1"})
    assert not User.objects.get().is_admin


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"username": "ZOEY"}, "username"),
        ({"username": "has space"}, "username"),
        ({"username": "x" * 65}, "username"),
        ({"username": "nul\0"}, "username"),
        ({"username": "Ärger"}, "username"),
        ({"password": "short"}, "password"),
        ({"username": "francis-the-biker", "password": "francis-the-biker"}, "password"),
    ],
)
def test_a_sign_up_that_makes_no_sense_keeps_what_was_typed(settings, client, db, fields, wrong):
    settings.LEFT4ME_SIGNUP = "open"
    User.objects.create_user("zoey")
    answer = client.post(SIGN_UP, FORM | {"username": "louis"} | fields)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [wrong]
    assert answer.context["form"]["username"].value() == (FORM | {"username": "louis"} | fields)["username"]
    assert User.objects.count() == 1


def test_one_address_may_not_make_accounts_without_end(settings, db):
    settings.LEFT4ME_SIGNUP = "open"
    codes = [Client().post(SIGN_UP, FORM | {"username": f"zoey{n}"}).status_code for n in range(11)]
    assert codes == [302] * 10 + [429]


@pytest.mark.usefixtures("_takes_invitations")
def test_an_invitation_lets_one_in_once(invitation, client):
    assert client.get(invitation).status_code == 200
    assert client.post(invitation, FORM)["Location"] == "/"
    assert Client().get(invitation).status_code == 404
    assert Client().post(invitation, FORM | {"username": "louis"}).status_code == 404
    assert OneTimeLink.objects.get().user.username == "zoey"


@pytest.mark.usefixtures("_takes_invitations")
def test_looking_at_an_invitation_or_a_typo_does_not_use_it_up(invitation, client):
    client.get(invitation)
    assert client.post(invitation, FORM | {"password": "short"}).status_code == 422
    assert client.post(invitation, FORM).status_code == 302


def test_an_invitation_is_refused_where_sign_up_is_closed(invitation, client):
    assert client.get(invitation).status_code == 403
    assert client.post(invitation, FORM).status_code == 403


@pytest.mark.usefixtures("_takes_invitations")
def test_an_invitation_expires(invitation, client):
    with time_machine.travel(datetime.now(UTC) + timedelta(days=7, seconds=1)):
        assert client.get(invitation).status_code == 404


@pytest.mark.usefixtures("_takes_invitations")
def test_a_revoked_invitation_no_longer_works(invitation, client, ada_client):
    ada_client.post(f"/users/invitations/{OneTimeLink.objects.get().pk}/revoke")
    assert client.get(invitation).status_code == 404


@pytest.mark.usefixtures("_takes_invitations")
def test_of_two_who_use_an_invitation_at_once_one_gets_in(invitation, rf, db):
    link = OneTimeLink.objects.get()
    OneTimeLink.objects.filter(pk=link.pk).claim(datetime.now(UTC))
    with pytest.raises(actions.Refused):
        actions.sign_up(username="zoey", password=FORM["password"], request=rf.post("/"), invitation=link)
    assert not User.objects.filter(username="zoey").exists()


def test_only_a_digest_of_a_link_is_stored_and_it_is_shown_once(invitation, ada_client):
    secret = invitation.rstrip("/").rpartition("/")[2]
    assert secret not in str(list(OneTimeLink.objects.values()))
    assert OneTimeLink.objects.get().digest == secrets.digest(secret)
    assert secret not in ada_client.get("/users/invitations").content.decode()


def test_an_invitation_is_no_password_link(invitation, client):
    assert client.get(invitation.replace("invitation", "new-password")).status_code == 404


def test_links_and_sessions_that_are_over_are_cleared_out(invitation, ada_client):
    with time_machine.travel(datetime.now(UTC) + timedelta(days=15)):
        prune()
        assert OneTimeLink.objects.count() == 1
        assert not User.objects.get(username="ada").sessions.exists()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=38)):
        prune()
        assert not OneTimeLink.objects.exists()


def test_who_is_signed_in_already_goes_on(anna_client):
    assert anna_client.get("/accounts/login/?next=/jobs")["Location"] == "/jobs"
    assert anna_client.get("/accounts/login/")["Location"] == "/"


def test_a_name_that_is_taken_at_the_same_moment_is_told_at_its_field(settings, client, db, monkeypatch):
    settings.LEFT4ME_SIGNUP = "open"

    def fail(**_: object) -> None:
        raise IntegrityError

    monkeypatch.setattr("accounts.views.entry.actions.sign_up", fail)
    answer = client.post(SIGN_UP, FORM)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["username"]


def test_a_link_that_is_used_at_the_same_moment_is_told(settings, ada, rf, client, monkeypatch):
    settings.LEFT4ME_SIGNUP = "invite"
    request = rf.post("/")
    lifetime = timedelta(days=1)
    invitation = actions.invite(by=ada, note="", lifetime=lifetime, request=request)
    new = actions.make_password_link(user=ada, by=ada, request=request)
    monkeypatch.setattr("accounts.models.links.OneTimeLinkQuerySet.claim", lambda self, now: False)
    for address, fields in (
        (f"/accounts/invitation/{invitation}/", FORM),
        (f"/accounts/new-password/{new}/", {"password": FORM["password"]}),
    ):
        answer = client.post(address, fields)
        assert answer.status_code == 422, address
        assert "has already been used" in answer.content.decode()
    ada.refresh_from_db()
    assert not ada.has_usable_password()


def test_signing_up_remembers_the_browser_and_signs_in(settings, client, db):
    settings.LEFT4ME_SIGNUP = "open"
    answer = client.post(SIGN_UP, FORM)
    assert answer.cookies["left4me_device"].value
    assert client.get("/").status_code == 200
