"""A journey by clicks: an admin imports the servers of an installation of LinuxGSM."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from left4me.importer.tests import shapes
from left4me.importer.tests.conftest import root, steam  # noqa: F401 -- fixtures
from left4me.testing.jobs import drain
from servers.models import Server
from servers.tests.factories import install_game, make_host

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.timeout(300),
]


@pytest.fixture(autouse=True)
def _without_streams(complaints):
    # Streams are an application of their own, which the live server of the tests does not serve.
    complaints.expect("status of 404")


def test_an_admin_imports_the_servers_of_linuxgsm(
    cast,
    sign_in,
    axe,
    picture,
    steam,  # noqa: F811 -- a fixture
    root,  # noqa: F811 -- a fixture
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr("servers.hosts.ports.ask", lambda host, asked: {})
    make_host(last_seen_at=timezone.now() + timedelta(hours=1))
    shapes.write(install_game(root).path, shapes.stock_files())
    old = tmp_path / "old/l4d2server"
    old.mkdir(parents=True)
    shapes.linuxgsm(old)
    (old / "serverfiles/left4dead2/addons/elsewhere").symlink_to("/mnt/maps")
    steam.add(shapes.ITEM, title="Tour of Friday")
    page = sign_in(cast.admin)
    main = page.get_by_role("main")
    page.goto("/servers/new")
    page.get_by_role("link", name="Import servers from another tool").click()
    axe(page)
    picture("import", "1-form")
    page.get_by_label("Directory").fill("/etc")
    page.get_by_role("button", name="Preview").click()
    expect(main).to_contain_text("Only directories below")
    axe(page)
    page.get_by_label("Directory").fill(str(old))
    page.get_by_label("Owner").fill("anna")
    page.get_by_role("button", name="Preview").click()
    page.wait_for_url(re.compile(r"/imports/\d+$"))
    expect(main).to_contain_text("Queued")
    picture("import", "2-queued")
    drain(host="local")
    page.reload()
    expect(main).to_contain_text("Nothing is written until you confirm")
    expect(main).to_contain_text("Tour of Friday")
    axe(page)
    picture("import", "3-plan")
    page.get_by_role("checkbox", name=re.compile("Second")).uncheck()
    page.get_by_text("Links that lead out of the directory").click()
    expect(main).to_contain_text("serverfiles/left4dead2/addons/elsewhere")
    assert not Server.objects.exists()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(main).to_contain_text("Queued")
    drain(host="local")
    page.reload()
    expect(main).to_contain_text("The old directory is as it was")
    axe(page)
    picture("import", "4-imported")
    page.get_by_role("link", name="Anna's versus").click()
    page.wait_for_url(re.compile(r"/servers/\d+$"))
    expect(page.get_by_role("heading", name="Anna's versus")).to_be_visible()
    assert [(server.port, server.owner) for server in Server.objects.all()] == [(27035, cast.owner)]
