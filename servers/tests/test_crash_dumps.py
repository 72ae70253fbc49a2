"""Crash dumps: what is read from them, also from hostile ones, and who gets them."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from left4me.audit.models import AuditEntry
from left4me.testing.cast import Cast
from servers.hosts import this_host
from servers.logs import crash_dumps, minidumps
from servers.models import Server
from servers.simulated.srcds import dumps
from servers.tests.factories import make_server, share
from servers.tests.near_host import answer_here

CORPUS = Path(__file__).parents[2] / "bench" / "corpus" / "dumps"
DUMP = dumps.build(11)
NAME = "left4dead2/addons/sourcemod/data/dumps/0a1b2c3d.dmp"


class Counted(io.BytesIO):
    """A file that counts what is read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def read(data: bytes) -> minidumps.Crash:
    return minidumps.read(io.BytesIO(data))


def test_a_dump_tells_the_signal_the_module_and_what_was_loaded():
    crash = read(DUMP)
    assert crash.reason == "segmentation fault in server_srv.so"
    assert [module.name for module in crash.modules] == ["srcds_linux", "engine_srv.so", "server_srv.so"]
    assert crash.at is not None and crash.at.year == 2027
    assert read(dumps.build(6, pointer=1)).reason == "aborted"


@pytest.mark.parametrize("data", [b"", b"MDMP", b"\x7fELF" + bytes(100), DUMP[:40]])
def test_what_is_no_dump_is_refused(data: bytes):
    with pytest.raises(minidumps.NotADump):
        read(data)


def test_a_dump_that_is_cut_off_gives_what_is_left():
    assert read(DUMP[: len(DUMP) - 300]).reason == "segmentation fault"
    assert read(DUMP[:80]).reason == ""


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_the_fuzzer_found_is_read_or_refused(path: Path):
    try:
        assert len(read(path.read_bytes()).reason) < 600
    except minidumps.NotADump as fault:
        assert str(fault)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.integers(0, len(DUMP) - 4), st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1]))))
def test_hostile_counts_and_places_cost_little(changes: list[tuple[int, int]]):
    data = bytearray(DUMP)
    for place, value in changes:
        struct.pack_into("<I", data, place, value)
    file = Counted(bytes(data))
    try:
        crash = minidumps.read(file)
    except minidumps.NotADump:
        return
    assert len(crash.modules) <= 1000
    assert all(len(module.name) <= 256 and module.name.isprintable() for module in crash.modules)
    assert file.count < 1_000_000


@pytest.fixture
def server(db: None, cast: Cast, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with one dump, whose host answers in this process."""
    settings.LEFT4ME_ROOT = tmp_path

    answer_here(monkeypatch)
    made = make_server(cast.owner, name="Friday")
    _write(made, NAME, DUMP)
    return made


def _write(server: Server, name: str, data: bytes) -> Path:
    path = this_host.storage().of(server.pk).upper / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_its_owner_sees_why_it_crashed_and_gets_the_dump(server: Server, cast: Cast, client: Client):
    client.force_login(cast.owner)
    page = client.get(f"/servers/{server.pk}/dumps").content.decode()
    assert "Segmentation fault in server_srv.so" in page
    assert "engine_srv.so" in client.get(f"/servers/{server.pk}/dumps?file={NAME}").content.decode()
    response = client.get(f"/servers/{server.pk}/dumps/download?file={NAME}")
    assert b"".join(response.streaming_content) == DUMP
    assert response["Content-Type"] == "application/octet-stream"
    assert AuditEntry.objects.filter(action="server.download_dump", target=server.resource).exists()
    share(server, cast.operator, "operator")
    client.force_login(cast.operator)
    assert client.get(f"/servers/{server.pk}/dumps").status_code == 403


@pytest.mark.parametrize(
    "name", ["left4dead2/cfg/server.cfg", "../other.dmp", "/etc/passwd", "left4dead2/../x.dmp", ""]
)
def test_nothing_else_is_read_by_the_name_of_a_dump(server: Server, cast: Cast, client: Client, name: str):
    client.force_login(cast.owner)
    assert client.get(f"/servers/{server.pk}/dumps/download", {"file": name}).status_code == 404


def test_links_and_damaged_dumps_do_no_harm(server: Server, cast: Cast, client: Client, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    link = _write(server, "left4dead2/link.dmp", b"")
    link.unlink()
    link.symlink_to(secret)
    os.mkfifo(link.with_name("pipe.dmp"))
    _write(server, "left4dead2/crash.dmp", b"MDMP")
    client.force_login(cast.owner)
    page = client.get(f"/servers/{server.pk}/dumps").content.decode()
    assert "The dump cannot be read" in page
    assert client.get(f"/servers/{server.pk}/dumps/download", {"file": "left4dead2/link.dmp"}).status_code == 404
    assert len(crash_dumps.find(this_host.storage().of(server.pk).upper)) == 2
