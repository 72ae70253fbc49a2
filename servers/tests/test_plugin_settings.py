"""Values that a server sets in the cfg files of its plugins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from left4me.audit.models import AuditEntry
from overlays import paths
from overlays.models import Overlay
from overlays.tests.test_plugin_cfg import GENERATED
from servers.actions import plugins as actions
from servers.hosts import this_host
from servers.lifecycle import pending_changes
from servers.models import Server
from servers.plugins import settings
from servers.tests.factories import share
from servers.tests.test_plugin_switches import spec_of
from servers.tests.test_plugins import overlay, server  # noqa: F401 -- fixtures

FILE = "plugin.heal.cfg"
CFG = Path("left4dead2/cfg/sourcemod")


def write(layer: Path, text: str = GENERATED) -> Path:
    path = layer / CFG / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def save(server: Server, by, **values: str) -> None:  # noqa: F811
    reply = settings.answer(server=server.pk, file=FILE)
    assert reply is not None
    known = actions.known_of(reply.facts["settings"])
    actions.set_values(server=server, file=FILE, values=values, known=known, by=by)


def written(server: Server) -> str:  # noqa: F811
    return spec_of(server).replaceable[str(CFG / FILE)]


@pytest.fixture
def own(server: Server) -> Path:  # noqa: F811
    """A file that the plugin wrote when the server ran."""
    return write(this_host.storage().of(server.pk).upper)


def test_settings_are_shown_as_a_form_and_saved_for_this_server_alone(server, own, cast, client):  # noqa: F811
    client.force_login(cast.owner)
    assert FILE in client.get(f"/servers/{server.pk}/plugins").content.decode()
    url = f"/servers/{server.pk}/plugins/settings?file={FILE}"
    page = client.get(url).content.decode()
    for words in ("l4d_heal_amount", "How much to heal.", "Default: 50", "Minimum: 0", "Maximum: 100"):
        assert words in page
    assert client.post(url, {"l4d_heal_amount": "150", "l4d_heal_flags": ""}).status_code == 422
    assert client.post(url, {"l4d_heal_amount": "75", "l4d_heal_flags": ""}).status_code == 302
    server.refresh_from_db()
    assert 'l4d_heal_amount "75"' in written(server)
    assert "// How much to heal." in written(server)
    assert own.read_text() == GENERATED
    assert AuditEntry.objects.filter(action="server.plugin_settings").exists()


def test_the_other_lines_stay_once_the_file_is_a_link(server, own, cast):  # noqa: F811
    save(server, cast.owner, l4d_heal_amount="75")
    directory = this_host.storage().of(server.pk)
    directory.write_replaceable({str(CFG / FILE): written(server)})
    own.unlink()
    own.symlink_to(f"/replaceable/{CFG / FILE}")
    save(server, cast.owner, l4d_heal_flags="b")
    assert written(server) == GENERATED.replace('"50"\n\n', '"75"\n\n').replace('flags ""', 'flags "b"')


def test_the_file_of_an_overlay_stays_and_its_later_values_apply(server, overlay: Overlay, cast):  # noqa: F811
    path = write(paths.directory(overlay))
    save(server, cast.owner, l4d_heal_amount="75", l4d_heal_flags="")
    assert server.plugin_settings == {FILE: {"l4d_heal_amount": "75"}}
    path.write_text(GENERATED.replace('flags ""', 'flags "z"'))
    assert 'flags "z"' in written(server)
    assert 'amount "75"' in written(server)
    save(server, cast.owner, l4d_heal_amount="50")
    assert server.plugin_settings == {}
    assert str(CFG / FILE) not in spec_of(server).replaceable


def test_unknown_settings_and_values_that_could_be_commands_are_refused(server, own, cast):  # noqa: F811
    for values in ({"rcon_password": "x"}, {"l4d_heal_flags": 'a"; quit; "'}, {"l4d_heal_amount": "101"}):
        with pytest.raises(ValidationError):
            save(server, cast.owner, **values)


def test_the_first_value_in_a_file_needs_a_restart_and_later_ones_do_not(server, own, cast):  # noqa: F811
    server.applied = pending_changes.current(server)
    server.actual_state = Server.State.RUNNING
    save(server, cast.owner, l4d_heal_amount="75")
    assert [change.after for change in pending_changes.pending(server)] == [f"Settings in {FILE}"]
    server.applied = pending_changes.current(server)
    save(server, cast.owner, l4d_heal_amount="80")
    assert not pending_changes.restart_needed(server)


def test_the_api_reads_sets_and_resets_settings(server, own, cast, client: Client):  # noqa: F811
    client.force_login(cast.owner)
    base = f"/api/v1/servers/{server.pk}/plugin-settings"
    assert [each["file"] for each in client.get(base).json()] == [FILE]
    answer = client.patch(f"{base}/{FILE}", json.dumps({"values": {"l4d_heal_amount": "20"}}), "application/json")
    assert answer.status_code == 200
    assert answer.json()["settings"][0]["value"] == "20"
    bad = client.patch(f"{base}/{FILE}", json.dumps({"values": {"l4d_heal_amount": "x"}}), "application/json")
    assert bad.status_code == 422
    assert client.delete(f"{base}/{FILE}").status_code == 204
    server.refresh_from_db()
    assert server.plugin_settings == {}
    assert client.get(f"{base}/..%2f..%2fserver.cfg").status_code == 404


def test_operators_see_no_settings(server, own, cast, client: Client):  # noqa: F811
    share(server, cast.operator, "operator")
    client.force_login(cast.operator)
    assert FILE not in client.get(f"/servers/{server.pk}/plugins").content.decode()
    assert client.get(f"/servers/{server.pk}/plugins/settings?file={FILE}").status_code == 403
