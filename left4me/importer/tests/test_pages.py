"""The pages and the API of imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.importer.models import Import
from left4me.importer.tests.factories import make_import
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from overlays.models import Overlay
from servers.models import Server
from servers.tests.factories import make_host

HOST = "local"
Old = Callable[[str], Path]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("steam", "redis_client")]


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, db: None) -> Any:
    monkeypatch.setattr("servers.hosts.ports.ask", lambda host, asked: {})
    return make_host(last_seen_at=timezone.now())


@pytest.fixture
def ada(client: Client, cast: Cast) -> Client:
    client.force_login(cast.admin)
    return client


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_admin_previews_and_imports_a_directory(ada: Client, old: Old, cast: Cast, host: Any):
    assert "LEFT4ME" not in text(ada, "/imports")
    sent = {"path": str(old("linuxgsm")), "owner": "anna", "host": host.pk, "launch": ""}
    page = ada.post("/imports", sent)["Location"]
    assert "Queued" in text(ada, page)
    drain(host=HOST)
    shown = text(ada, page)
    assert "Nothing is written until you confirm" in shown
    assert "Anna&#x27;s versus, port 27035" in shown
    assert "Links that lead out" not in shown
    ada.post(f"{page}/carry-out", {"server": ["0.0", "0.1"]})
    assert "In progress" in text(ada, page) or "Queued" in text(ada, page)
    drain(host=HOST)
    shown = text(ada, page)
    server = Server.objects.get(port=27035)
    assert f'href="/servers/{server.pk}"' in shown
    assert f'href="/blueprints/{server.blueprint_id}"' in shown
    assert f'href="/overlays/{Overlay.objects.get(kind="files").pk}"' in shown
    assert "Imported" in text(ada, "/imports")


def test_a_path_that_is_not_allowed_is_named_at_its_field(ada: Client, host: Any):
    answer = ada.post("/imports", {"path": "/etc", "owner": "anna", "host": host.pk})
    assert answer.status_code == 422
    assert "Only directories below" in answer.content.decode()
    assert not Import.objects.exists()


def test_a_directory_that_cannot_be_read_leads_to_what_helps(ada: Client, tmp_path: Path, cast: Cast, host: Any):
    (tmp_path / "old").mkdir()
    page = ada.post("/imports", {"path": str(tmp_path / "old"), "owner": "anna", "host": host.pk})["Location"]
    drain(host=HOST)
    shown = text(ada, page)
    assert "No folder left4dead2 was found" in shown
    assert "Read again" in shown
    again = ada.post(f"{page}/again")["Location"]
    assert again != page
    ada.post(f"{page}/discard")
    assert Import.objects.count() == 1


def test_imports_are_switched_off_without_directories(ada: Client, settings: Any, old: Old, host: Any):
    settings.LEFT4ME_IMPORT_FROM = []
    assert "Imports are switched off" in text(ada, "/imports")
    answer = ada.post("/imports", {"path": str(old("plain")), "owner": "anna", "host": host.pk})
    assert answer.status_code == 422


def test_others_see_no_imports(client: Client, cast: Cast):
    row = make_import(cast.owner)
    client.force_login(cast.owner)
    assert client.get(f"/imports/{row.pk}").status_code == 403
    assert client.post("/imports", {"path": "/srv"}).status_code == 403


def test_the_api_does_the_same(api: Caller, old: Old, cast: Cast):
    ada = api.by(cast.admin)
    status, row = ada.post("/imports", {"path": str(old("docker")), "owner": "anna"})
    assert (status, row["state"], row["trees"]) == (202, "reading", [])
    drain(host=HOST)
    _status, row = ada.get(f"/imports/{row['id']}")
    assert (row["state"], row["kind"]) == ("planned", "docker")
    (server,) = row["trees"][0]["servers"]
    assert (server["key"], server["name"], server["port"], server["server_id"]) == ("0.0", "Docked", 27017, None)
    assert ada.post(f"/imports/{row['id']}/carry-out", {"servers": ["0.9"]})[0] == 409
    status, job = ada.post(f"/imports/{row['id']}/carry-out", {})
    assert (status, job["operation"]) == (202, "carry_out_import")
    drain(host=HOST)
    _status, row = ada.get(f"/imports/{row['id']}")
    assert row["state"] == "done"
    assert row["trees"][0]["servers"][0]["server_id"] == Server.objects.get().pk
    assert [each["state"] for each in ada.get("/imports")[1]["items"]] == ["done"]
    assert ada.delete(f"/imports/{row['id']}")[0] == 204
    assert api.by(cast.owner).get("/imports")[0] == 403
    assert ada.post("/imports", {"path": "/etc"})[0] == 422
    assert ada.post("/imports", {"path": "/srv", "owner": "nobody"})[0] == 422


def test_an_import_that_failed_goes_on(ada: Client, old: Old, cast: Cast, host: Any, settings: Any):
    page = ada.post("/imports", {"path": str(old("plain")), "owner": "anna", "host": host.pk})["Location"]
    drain(host=HOST)
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 0
    ada.post(f"{page}/carry-out", {"server": ["0.0"]})
    drain(host=HOST)
    assert "LEFT4ME_UPLOAD_QUOTA_MB" in text(ada, page)
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1000
    ada.post(f"{page}/carry-out", {"server": ["0.0"]})
    drain(host=HOST)
    assert Job.objects.filter(operation="carry_out_import").latest("pk").state == "succeeded"
    assert Server.objects.get().port == 27018
