"""The audit log in sentences, with the actions and the rows of all apps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from left4me.audit import sentences
from left4me.audit.models import AuditEntry
from left4me.testing.cast import Cast
from servers.tests.factories import make_server


@pytest.mark.django_db
def test_an_entry_is_a_sentence_with_a_link_to_what_still_exists(client: Client, cast: Cast) -> None:
    client.force_login(cast.admin)
    server = make_server(cast.owner, name="<Friday>")
    AuditEntry.objects.create(actor="anna", action="server.restart", target=server.resource)
    AuditEntry.objects.create(actor="anna", action="overlay.delete", target="overlay:99", details={"name": "Maps"})
    AuditEntry.objects.create(actor="anna", action="server.brew", target=server.resource)
    page = client.get("/audit").content.decode()
    link = f'<a href="{server.get_absolute_url()}">&lt;Friday&gt;</a>'
    assert f"<strong>anna</strong> restarted {link}" in page
    assert "<strong>anna</strong> deleted the overlay Maps" in page
    assert f"<strong>anna</strong>: server.brew {link}" in page, "an action of another release"


def test_every_action_has_a_sentence() -> None:
    """Also those of a group, such as the kinds of console orders, by the sentence of the group."""
    sources = [path for path in Path(settings.BASE_DIR).rglob("*.py") if not {".venv", "tests"} & set(path.parts)]
    actions = {
        action
        for path in sources
        for call in re.findall(r"record\.write\((.*?)\)", path.read_text(), re.DOTALL)
        for action in re.findall(r'action=f?"([a-z]+\.[a-z_{}]+)"', call)
    }
    assert len(actions) > 50
    missing = {
        action
        for action in actions
        if not any(name == action or action.startswith(f"{name}.") for name in sentences.SENTENCES)
        and not ("{" in action and any(name.startswith(action.partition("{")[0]) for name in sentences.SENTENCES))
    }
    assert missing <= {"{kind}.{act}"}
