"""Notes about players: who writes, reads, changes and deletes them, on pages and by the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import bearer, make_token
from left4me.audit.models import AuditEntry
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.testing.buttons import press
from livestate.models import LONGEST_NOTE, PlayerNote
from livestate.tests.factories import make_note, make_session
from servers.models import Server, ServerShare
from servers.tests.factories import make_server, share

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

ZOEY = STEAM_ID_64_BASE + 101
PAGE = f"/players/{ZOEY}"


@pytest.fixture
def server(cast) -> Server:
    server = make_server(cast.owner, name="Friday", actual_state="running", started_at=timezone.now())
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    make_session(server, 101, timezone.now() - timedelta(hours=1), name_at_join="Zoey")
    return server


def text_of(client, user, address: str = PAGE) -> str:
    client.force_login(user)
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_a_note_is_for_the_owner_the_operators_and_admins(cast, client, server):
    client.force_login(cast.operator)
    response = client.post(f"{PAGE}/notes", {"text": "Votes to kick", "owner": cast.owner.pk}, follow=True)
    assert "Note added" in response.content.decode()
    note = PlayerNote.objects.get()
    assert (note.owner, note.author, note.steam_id_64) == (cast.owner, cast.operator, ZOEY)
    for user in (cast.owner, cast.operator, cast.admin):
        text = text_of(client, user)
        assert "Votes to kick" in text and "otto" in text
        assert 'class="mark"' in text_of(client, user, "/players")
        assert 'class="mark"' in text_of(client, user, reverse("livestate:players", args=[server.pk]))
    for address in (PAGE, "/players", reverse("livestate:players", args=[server.pk])):
        text = text_of(client, cast.viewer, address)
        assert "Votes to kick" not in text and 'class="mark"' not in text and 'id="notes"' not in text


def test_an_operator_of_two_owners_chooses_whose_note_it_is(cast, client, server):
    other = make_server(cast.admin)
    share(other, cast.operator, ServerShare.Role.OPERATOR)
    text = text_of(client, cast.operator)
    assert f'<option value="{cast.owner.pk}" selected>' in text and f'<option value="{cast.admin.pk}">' in text
    client.post(f"{PAGE}/notes", {"text": "Ask first", "owner": cast.admin.pk})
    assert "Ask first" not in text_of(client, cast.owner)
    assert "Ask first" in text_of(client, cast.operator)


def test_a_note_is_not_written_for_those_whose_servers_one_does_not_operate(cast, client, server):
    client.force_login(cast.operator)
    response = client.post(f"{PAGE}/notes", {"text": "x", "owner": cast.admin.pk})
    assert response.status_code == 422
    client.force_login(cast.viewer)
    assert client.post(f"{PAGE}/notes", {"text": "x", "owner": cast.owner.pk}).status_code == 403
    assert not PlayerNote.objects.exists()


def test_an_empty_and_an_endless_note_are_refused_at_the_field(cast, client, server):
    client.force_login(cast.owner)
    for text in (" ", "x" * (LONGEST_NOTE + 1)):
        response = client.post(f"{PAGE}/notes", {"text": text, "owner": cast.owner.pk})
        assert response.status_code == 422 and "id_text_error" in response.content.decode()


def test_a_note_is_edited_by_its_author_and_the_edit_is_undone(cast, client, server):
    note = make_note(101, cast.owner, author=cast.operator, text="before")
    client.force_login(cast.operator)
    response = client.post(f"/notes/{note.pk}", {"text": "after"}, follow=True)
    assert "after" in response.content.decode() and "edited" in response.content.decode()
    press(client, response, "Undo")
    note.refresh_from_db()
    assert note.text == "before"


def test_a_deleted_note_comes_back_as_it_was(cast, client, server):
    written = timezone.now() - timedelta(days=3)
    note = make_note(101, cast.owner, author=cast.operator, text="Mind the mic", created_at=written)
    client.force_login(cast.owner)
    response = client.post(f"/notes/{note.pk}/delete", follow=True)
    assert "Mind the mic" not in response.content.decode()
    assert "Mind the mic" in press(client, response, "Undo").content.decode()
    again = PlayerNote.objects.get()
    assert (again.author, again.created_at) == (cast.operator, written)


def test_a_deleted_note_of_somebody_whose_account_is_gone_comes_back_without_an_author(cast, client, server):
    note = make_note(101, cast.owner, author=cast.operator, text="Mind the mic")
    client.force_login(cast.owner)
    response = client.post(f"/notes/{note.pk}/delete", follow=True)
    cast.operator.delete()
    assert "Mind the mic" in press(client, response, "Undo").content.decode()
    assert PlayerNote.objects.get().author is None


def test_a_deleted_note_of_an_owner_whose_account_is_gone_stays_deleted(cast, client, server):
    note = make_note(101, cast.owner, author=cast.admin, text="Mind the mic")
    client.force_login(cast.admin)
    response = client.post(f"/notes/{note.pk}/delete", follow=True)
    server.delete()
    server.blueprint.delete()
    cast.owner.delete()
    # The page of the player is gone too.
    address = response.content.decode().partition('formaction="/undo/')[2].partition('"')[0]
    assert "This can&#x27;t be undone any more." in client.post(f"/undo/{address}", follow=True).content.decode()
    assert not PlayerNote.objects.exists()


def test_an_operator_does_not_change_the_notes_of_others(cast, client, server):
    note = make_note(101, cast.owner, author=cast.owner)
    assert f"/notes/{note.pk}" not in text_of(client, cast.operator)
    assert client.post(f"/notes/{note.pk}", {"text": "x"}).status_code == 403
    assert client.post(f"/notes/{note.pk}/delete").status_code == 403
    client.force_login(cast.stranger)
    assert client.get(f"/notes/{note.pk}").status_code == 404


def test_who_is_no_operator_any_more_sees_not_even_own_notes(cast, client, server):
    note = make_note(101, cast.owner, author=cast.operator, text="mine")
    ServerShare.objects.filter(user=cast.operator).update(role=ServerShare.Role.VIEWER)
    assert "mine" not in text_of(client, cast.operator)
    assert client.post(f"/notes/{note.pk}/delete").status_code == 404


def test_the_audit_log_names_neither_the_player_nor_the_text(cast, client, server):
    client.force_login(cast.owner)
    client.post(f"{PAGE}/notes", {"text": "secretive", "owner": cast.owner.pk})
    entry = AuditEntry.objects.get(action="note.add")
    assert entry.details == {} and str(ZOEY) not in entry.target
    client.force_login(cast.admin)
    assert "added a note about a player" in client.get("/audit").content.decode()


def test_a_player_with_notes_is_known_after_the_visits_are_deleted(cast, client, server):
    make_note(909, cast.owner, text="Came from another server")
    address = f"/players/{STEAM_ID_64_BASE + 909}"
    assert "Came from another server" in text_of(client, cast.owner, address)
    client.force_login(cast.viewer)
    assert client.get(address).status_code == 404


def test_notes_by_the_api(cast, client, server):
    as_operator = bearer(make_token(cast.operator, scope="operate"))
    address = f"/api/v1/players/{ZOEY}/notes"

    def call(method: str, path: str, headers=as_operator, **body: str):
        return getattr(client, method)(path, body or None, content_type="application/json", headers=headers)

    made = call("post", address, text="by a bot")
    assert made.status_code == 201
    note = made.json()
    assert (note["owner"], note["author"], note["steam_id_64"]) == ("anna", "otto", str(ZOEY))
    assert [each["text"] for each in client.get(address, headers=as_operator).json()] == ["by a bot"]
    assert call("patch", f"/api/v1/notes/{note['id']}", text="by our bot").json()["text"] == "by our bot"
    wrong = call("post", address, text="x", owner="stefan")
    assert wrong.status_code == 422 and "owner" in wrong.json()["detail"]
    reader = bearer(make_token(cast.viewer, scope="read"))
    assert client.get(address, headers=reader).json() == []
    assert call("delete", f"/api/v1/notes/{note['id']}", headers=reader).status_code == 403
    assert call("delete", f"/api/v1/notes/{note['id']}").status_code == 204
