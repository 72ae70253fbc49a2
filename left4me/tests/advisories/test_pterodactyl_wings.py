"""The advisories of Pterodactyl's daemon Wings, tried here. `docs/advisories.md` says what each of them was there."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from accounts import secrets
from accounts.tests.factories import bearer
from left4me.alerts import delivery, incidents
from left4me.alerts.models import Channel
from left4me.alerts.tests.factories import crash, make_channel
from left4me.alerts.tests.receiver import Receiver
from left4me.core.files.tree import BadPath, Tree
from left4me.jobs import sweep
from left4me.jobs.models import Job, JobLog
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.folders import listed
from livestate.bans import formats
from overlays.files import uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay
from servers.actions import blueprint_yaml
from servers.blueprints import translation
from servers.gamehost import a2s
from servers.gamehost.rcon.conversation import Conversation
from servers.gamehost.rcon.errors import ProtocolFault
from servers.gamehost.storage import Storage
from servers.lifecycle import launch_plan
from servers.models import Blueprint, HostToken, Server
from servers.models.hosts import TOKEN_PREFIX
from servers.tests.factories import make_host

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]

NOW = datetime(2030, 1, 1, tzinfo=UTC)
UNIT = Path(__file__).parents[3] / "deploy/systemd/left4me-server@.service"
# What SQLite takes as parameters of one statement.
MOST_PARAMETERS = 32_766
# How a datagram begins that is not cut into several.
WHOLE = b"\xff\xff\xff\xff"


@pytest.fixture
def overlay(cast: Cast, data: Path) -> Overlay:
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


@pytest.fixture
def trap(overlay: Overlay, secret: Path) -> Path:
    """The directory of an overlay in which the link `out` leads to a secret folder."""
    root = Path(settings.LEFT4ME_ROOT) / "overlays" / overlay.path
    (root / "folder").mkdir(parents=True)
    for place in (root, root / "folder"):
        (place / "out").symlink_to(secret)
    (root / "key.txt").symlink_to(secret / "key")
    return root


@pytest.fixture
def anna(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def test_ghsa_494h_9924_xww9_no_page_reads_through_a_link(anna: Client, overlay: Overlay, trap: Path) -> None:
    address = f"/overlays/{overlay.pk}/files"
    for path in ("out/key", "folder/out/key", "key.txt"):
        assert anna.get(f"{address}/download", {"path": path}).status_code == 404
        page = anna.get(f"{address}/edit", {"path": path})
        assert page.status_code in (302, 404)
        assert b"told-to-nobody" not in page.content
    assert anna.get(address, {"at": "out"}).status_code == 404


def test_ghsa_p8r3_83r8_jwj5_nothing_is_created_through_a_link(
    anna: Client, overlay: Overlay, trap: Path, secret: Path
) -> None:
    address = f"/overlays/{overlay.pk}/files"
    anna.post(f"{address}/folder", {"at": "out", "name": "new"})
    anna.post(f"{address}/folder", {"at": "", "name": "out/new"})
    anna.post(f"{address}/rename", {"at": "", "old": "folder", "name": "out/folder"})
    begun = anna.post(
        f"/overlays/{overlay.pk}/uploads",
        json.dumps({"name": "authorized_keys", "folder": "out", "size": 3}),
        content_type="application/json",
    )
    if begun.status_code == 201:
        upload = f"/overlays/{overlay.pk}/uploads/{begun.json()['id']}"
        anna.post(f"{upload}?offset=0", b"abc", content_type="application/octet-stream")
        assert anna.post(f"{upload}/finish").status_code == 422
    assert listed(secret) == ["key"]
    assert (trap / "folder").is_dir()


def test_ghsa_66p8_j459_rq63_nothing_is_deleted_through_a_link(
    anna: Client, overlay: Overlay, trap: Path, secret: Path
) -> None:
    address = f"/overlays/{overlay.pk}/files/delete"
    anna.post(address, {"at": "out", "name": ["key"]})
    anna.post(address, {"at": "", "name": ["out/key"]})
    anna.post(address, {"at": "", "name": ["folder"]})
    assert not (trap / "folder").exists()
    with Tree(trap) as content:
        content.delete(("out",))
    assert listed(secret) == ["key"]
    assert (secret / "key").read_text() == "told-to-nobody"


def test_ghsa_rhq6_9rgh_v45c_no_mode_is_changed_through_a_link(
    overlay: Overlay, trap: Path, secret: Path, data: Path
) -> None:
    finished = data / "finished"
    finished.write_text("x")
    with Tree(trap) as content:
        content.take(finished, ("key.txt",), mode=0o666)
        with pytest.raises(BadPath), content.writing(("out", "key"), mode=0o666):
            pass
    storage = Storage(data / "servers")
    directory = storage.of(1)
    directory.prepare()
    for place in (directory.upper, directory.work):
        (place / "folder").symlink_to(secret)
        (place / "file").symlink_to(secret / "key")
    assert storage.delete(1, now=NOW)
    assert [path.stat().st_mode & 0o777 for path in (secret, secret / "key")] == [0o700, 0o600]


def test_ghsa_p744_4q6p_hvc2_only_admins_bring_scripts(cast: Cast, api: Caller, data: Path) -> None:
    own = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)
    owner = api.by(cast.owner)
    assert owner.post("/overlays", {"name": "x", "kind": "script"})[0] == 403
    assert owner.patch(f"/overlays/{own.pk}", {"kind": "script", "version": 1})[0] == 422
    client = Client()
    client.force_login(cast.owner)
    client.post("/overlays/new", {"name": "y", "kind": "script"})
    assert client.post(f"/overlays/{own.pk}/script", {"text": "id"}).status_code in (403, 404)
    layer = {"name": "z", "kind": "script", "workshop_items": [7]}
    text = json.dumps({"left4me_blueprint": 1, "name": "b", "overlays": [layer]})
    assert blueprint_yaml.load(text, owner=cast.owner, by=cast.owner).missing == ["z"]
    assert not Overlay.objects.filter(kind=Overlay.Kind.SCRIPT).exists()


def test_ghsa_jj6m_r8jc_2gp7_the_tasks_of_a_game_are_limited() -> None:
    limits = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    assert 0 < int(limits["TasksMax"]) <= 1024


@pytest.mark.parametrize(
    "text",
    [
        "[" * 250_000,
        "{" * 250_000,
        "- " * 120_000,
        "left4me_blueprint: 1\nname: x\nx: {" + "a," * 120_000 + "}",
        "left4me_blueprint: 1\nname: x\nx: " + ":".join("1" * 120_000),
        "left4me_blueprint: 1\nname: x\nx: " + "9" * 5_000,
        "left4me_blueprint: 1\nname: x\nx: 2026-13-45",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    ],
    ids=["lists", "mappings", "entries", "names", "base-60", "digits", "month-13", "aliases"],
)
def test_ghsa_q6hh_gp44_4hcm_a_hostile_file_costs_little_to_read(cast: Cast, text: str) -> None:
    with pytest.raises(ValidationError):
        blueprint_yaml.load(text, owner=cast.owner, by=cast.owner)
    assert not Blueprint.objects.exists()


def test_ghsa_q6hh_gp44_4hcm_variables_that_double_each_other_stay_small() -> None:
    script = "a=x\n" + "a=$a$a\n" * 60 + "./srcds_run +hostname $a +map c1m1_hotel\n"
    found = translation.translate(arguments=script, config="")
    assert len(found.arguments) < 20_000
    assert "+map c1m1_hotel" in found.arguments


def test_ghsa_q6hh_gp44_4hcm_a_table_with_an_endless_cell_is_refused() -> None:
    reading = formats.read("steam_id,ip\n" + '"' + "x" * 200_000, now=NOW)
    assert reading.fault_count == 1


def test_ghsa_gqmf_jqgv_v8fw_the_token_of_a_host_writes_nothing(cast: Cast) -> None:
    raw = secrets.new(TOKEN_PREFIX)
    HostToken.objects.create(host=make_host(name="two"), digest=secrets.digest(raw))
    overlay = make_overlay(kind=Overlay.Kind.FILES)
    for method in ("get", "post", "put", "patch", "delete"):
        for path in ("/servers", "/hosts", f"/overlays/{overlay.pk}", "/me"):
            answer = getattr(Client(), method)(f"/api/v1{path}", headers=bearer(raw))
            assert answer.status_code in (401, 405), (method, path)


def test_ghsa_pfvc_3p5h_x7h6_placeholders_of_a_blueprint_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "told-to-nobody")
    words = ["{{config.token}}", "${SECRET_OF_THE_WORKER}", "%(rcon_password)s", "{settings.SECRET_KEY}"]
    spec = launch_plan.instance_spec(
        server=Server(pk=12, name="Friday night", port=27020),
        blueprint=Blueprint(
            arguments="\n".join(f"+say {word}" for word in words), config="\n".join(f"say {word}" for word in words)
        ),
        overlays=[],
        overlay_cfgs={},
        rcon_password="s3cret",
        places=launch_plan.HostPaths(overlays={}, game=Path("/srv/game"), cache=Path("/srv/cache")),
    )
    said = "\n".join([*spec.argv, *spec.generated.values(), *spec.replaceable.values()])
    assert all(said.count(word) == 2 for word in words), said
    assert "told-to-nobody" not in said and settings.SECRET_KEY not in said and said.count("s3cret") == 1


def test_ghsa_2497_gp99_2m74_more_rows_than_a_statement_takes_are_deleted() -> None:
    long_ago = timezone.now() - timedelta(days=400)
    job = Job.objects.create(
        operation="test", resource="test:1", host="local", state="succeeded", finished_at=long_ago
    )
    JobLog.objects.bulk_create(
        [
            JobLog(job=job, seq=seq, stream="stdout", line="x", created_at=long_ago)
            for seq in range(MOST_PARAMETERS + 10)
        ],
        batch_size=5_000,
    )
    assert sweep.prune(now=timezone.now(), log_days=30, job_days=30) == (MOST_PARAMETERS + 10, 1)
    assert not JobLog.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        *("http://127.0.0.1:8000/", "https://127.0.0.1/x", "https://[::1]/", "https://[::ffff:10.0.0.1]/"),
        *("https://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "https://2130706433/", "https://0x7f.1/"),
        *("file:///etc/passwd", "gopher://127.0.0.1/", "https://a@127.0.0.1/", "https://[fec0::1]/"),
    ],
)
def test_ghsa_6rg3_8h8x_5xfv_no_address_of_a_user_leads_inside(cast: Cast, api: Caller, address: str) -> None:
    channel = {"name": "x", "kind": "webhook", "address": address, "events": ["server_crashed"]}
    status, _ = api.by(cast.owner).post("/alerts", channel)
    if status == 201:
        # A name for an address in another form: refused when it is dialled.
        incidents.report(crash(cast.owner), now=NOW)
        assert delivery.send(now=NOW).messages == 0
        assert "private" in Channel.objects.get().last_error
    else:
        assert status == 422


def test_ghsa_qq22_jj8x_4wwv_a_redirect_leads_nowhere(cast: Cast, receiver: Receiver) -> None:
    make_channel(cast.owner, receiver.url("/first"))
    receiver.plan((302, {"Location": receiver.url("/inside")}, ""), (307, {"Location": receiver.url("/inside")}, ""))
    incidents.report(crash(cast.owner), now=NOW)
    for minute in (0, 5):
        assert delivery.send(now=NOW + timedelta(minutes=minute)).failed == 1
    assert receiver.paths == ["/first", "/first"]


def test_cve_2026_61617_an_upload_never_outgrows_what_was_announced(anna: Client, overlay: Overlay) -> None:
    begun = anna.post(
        f"/overlays/{overlay.pk}/uploads", json.dumps({"name": "a.txt", "size": 6}), content_type="application/json"
    ).json()
    address = f"/overlays/{overlay.pk}/uploads/{begun['id']}?offset="
    binary: dict[str, Any] = {"content_type": "application/octet-stream"}
    assert anna.post(address + "0", b"x" * 100_000, **binary).status_code == 422
    assert uploads.received(Upload.objects.get()) <= 6
    assert anna.post(address + "0", b"abc", **binary).status_code in (200, 409)
    anna.post(address + "3", b"x" * 100_000, **binary)
    assert uploads.received(Upload.objects.get()) <= 6


@pytest.mark.parametrize("size", [-1, 0, 9, 2**20 * 100, 2**31 - 1])
def test_ghsa_ghrq_5wpp_hxx5_a_malformed_packet_is_a_fault_of_its_sender(size: int) -> None:
    conversation = Conversation()
    conversation.login("secret")
    with pytest.raises(ProtocolFault):
        conversation.receive(struct.pack("<iii", size, 1, 2))


@pytest.mark.parametrize("answer", [b"", WHOLE, WHOLE + b"I", WHOLE + b"I\x11a\0b\0c\0d\0"])
def test_ghsa_ghrq_5wpp_hxx5_a_malformed_answer_to_a_query_is_no_answer(answer: bytes) -> None:
    with pytest.raises(a2s.NoAnswer):
        a2s.parse(answer)
