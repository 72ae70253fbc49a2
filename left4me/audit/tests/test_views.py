"""The audit page: for admins, filtered."""

from datetime import UTC, datetime

import pytest

from left4me.audit.models import AuditEntry

URL = "/audit"


@pytest.fixture
def admin_client(client, cast):
    client.force_login(cast.admin)
    return client


@pytest.fixture(autouse=True)
def _entries(db):
    def add(actor: str, action: str, target: str, day: int) -> None:
        AuditEntry(
            actor=actor, action=action, target=target, created_at=datetime(2026, 11, day, 12, tzinfo=UTC)
        ).save()

    add("anna", "server.start", "server:1", 1)
    add("anna", "server.stop", "server:1", 2)
    add("otto", "server.start", "server:12", 3)
    add("<script>", "session.start", "user:1", 4)


def shown(client, **query) -> list[str]:
    return [f"{row.actor} {row.action}" for row in client.get(URL, query).context["page"]]


def test_the_newest_comes_first(admin_client):
    assert shown(admin_client)[0] == "<script> session.start"
    assert len(shown(admin_client)) == 4


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"who": "ann"}, ["anna server.stop", "anna server.start"]),
        ({"action": "server.stop"}, ["anna server.stop"]),
        ({"action": "server"}, ["otto server.start", "anna server.stop", "anna server.start"]),
        ({"target": "server:1"}, ["anna server.stop", "anna server.start"]),
        ({"target": "user"}, ["<script> session.start"]),
        ({"since": "2026-11-02", "until": "2026-11-03"}, ["otto server.start", "anna server.stop"]),
        ({"who": "otto", "action": "server.stop"}, []),
    ],
)
def test_entries_are_found_by(admin_client, query, rows):
    assert shown(admin_client, **query) == rows


@pytest.mark.parametrize("query", [{"since": "yesterday"}, {"action": "nothing.such"}, {"page": "x"}, {"page": "99"}])
def test_a_filter_that_makes_no_sense_breaks_nothing(admin_client, query):
    assert len(shown(admin_client, **query)) == 4


def test_names_are_shown_as_text(admin_client):
    assert "<script> session" not in admin_client.get(URL).content.decode()
    assert "&lt;script&gt;" in admin_client.get(URL).content.decode()


def test_the_record_is_not_for_users(client, cast):
    client.force_login(cast.owner)
    assert client.get(URL).status_code == 403
