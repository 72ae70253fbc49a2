from __future__ import annotations

from pathlib import Path

import pytest
from django.http import HttpResponseBase
from django.test import RequestFactory

from left4me.core.web import ranges

CONTENT = b"0123456789"
TAG = ranges.tag_of("a file", 1)


def answer(**headers: str) -> HttpResponseBase:
    return ranges.response(
        ranges.Asked(RequestFactory().get("/", headers=headers)),
        size=len(CONTENT),
        tag=TAG,
        filename="a.bin",
        content_type="application/octet-stream",
        pieces=lambda start, end: [CONTENT[start:end]],
    )


def body(response: HttpResponseBase) -> bytes:
    return b"".join(response.streaming_content)  # type: ignore[attr-defined]


def test_a_whole_download_says_that_it_can_be_continued():
    response = answer()
    assert (response.status_code, body(response)) == (200, CONTENT)
    assert response["Content-Length"] == "10"
    assert response["Accept-Ranges"] == "bytes"
    assert response["ETag"] == TAG
    assert response["Content-Disposition"] == 'attachment; filename="a.bin"'


@pytest.mark.parametrize(
    ("wanted", "content", "said"),
    [("bytes=4-", b"456789", "4-9/10"), ("bytes=4-6", b"456", "4-6/10"), ("bytes=0-99", CONTENT, "0-9/10")],
)
def test_a_part_is_answered_with_its_place(wanted: str, content: bytes, said: str):
    response = answer(range=wanted)
    assert (response.status_code, body(response)) == (206, content)
    assert response["Content-Range"] == f"bytes {said}"
    assert response["Content-Length"] == str(len(content))


def test_the_rest_of_another_content_is_all_of_this_one():
    response = answer(range="bytes=4-", if_range='"of before"')
    assert (response.status_code, body(response)) == (200, CONTENT)
    assert body(answer(range="bytes=4-", if_range=TAG)) == b"456789"


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=7-3"])
def test_a_part_that_does_not_exist_is_refused(wanted: str):
    response = answer(range=wanted)
    assert response.status_code == 416
    assert response["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=-3", "bytes=1-2,4-5"])
def test_other_ranges_are_answered_with_everything(wanted: str):
    assert answer(range=wanted).status_code == 200


@pytest.mark.parametrize("wanted", ["bytes=4-", "bytes=99-"])
def test_a_file_is_closed_with_its_response(tmp_path: Path, wanted: str):
    (tmp_path / "a").write_bytes(CONTENT)
    file = (tmp_path / "a").open("rb")
    request = RequestFactory().get("/", headers={"range": wanted})
    response = ranges.file_response(request, file, filename="a", content_type="application/octet-stream")
    if response.streaming:
        assert body(response) == b"456789"
    response.close()
    assert file.closed
