"""Refusals, the messages that show them, and what takes a change back."""

from __future__ import annotations

import pytest
import redis
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest
from django.test import RequestFactory

from left4me.core import rows
from left4me.core.web import notices, refusals, undo
from left4me.core.web.refusals import Cure, InUse, Invalid, Refused, Stale

CURE = Cure(label="Open job", url="/jobs/1")
OTHER = Cure(label="Undo", url="/undo/x", operation="undo")


def test_what_a_refusal_knows_goes_with_it():
    in_use = InUse("Used.", cure=CURE, servers=[{"id": 1}])
    assert (str(in_use), in_use.cure, in_use.used_by) == ("Used.", CURE, {"servers": [{"id": 1}]})
    stale = Stale("Changed.", current=7)
    assert (str(stale), stale.current) == ("Changed.", 7)
    assert stale.cure is None


@pytest.mark.parametrize(
    ("fault", "message", "cure"),
    [
        (Refused("Wait."), "Wait.", None),
        (Refused("Wait.", cure=CURE), "Wait.", CURE),
        (Stale("Changed.", current=1), "Changed.", None),
        (Invalid("Taken.", cure=CURE), "Taken.", CURE),
        (ValidationError(["One.", "Two."]), "One. Two.", None),
        (ValidationError([ValidationError("One."), Invalid("Two.", cure=CURE)]), "One. Two.", CURE),
        (
            ValidationError({"a": [Invalid("One.", cure=None)], "b": [Invalid("Two.", cure=CURE)]}),
            "One. Two.",
            CURE,
        ),
        (ValidationError("One."), "One.", None),
        (OSError("odd"), "odd", None),
    ],
    ids=str,
)
def test_the_message_and_the_first_cure_of_a_fault(fault: Exception, message: str, cure: Cure | None):
    assert refusals.message_of(fault) == message
    assert refusals.cure_of(fault) == cure


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    request = rf.post("/")
    request.session = {}
    request._messages = FallbackStorage(request)
    return request


def shown(request: HttpRequest) -> list[tuple[str, str, Cure | None]]:
    return [(each.level_tag, each.message, notices.cure_of(each)) for each in get_messages(request)]


def test_messages_carry_their_button(request_: HttpRequest):
    notices.refuse(request_, Refused("Wait.", cure=CURE), otherwise=OTHER)
    notices.refuse(request_, Refused("Wait."), otherwise=OTHER)
    notices.refuse(request_, Refused("Wait."))
    notices.done(request_, "Deleted.", undo=OTHER)
    notices.done(request_, "Deleted.")
    assert shown(request_) == [
        ("error", "Wait.", CURE),
        ("error", "Wait.", OTHER),
        ("error", "Wait.", None),
        ("success", "Deleted.", OTHER),
        ("success", "Deleted.", None),
    ]


# --- taking back ---


@pytest.fixture
def restored(monkeypatch, redis_client: redis.Redis) -> list[object]:
    """What the restorer of the kind "thing" was called with; it raises what stands in `faults`."""
    calls: list[object] = []

    def restore(user: object, **kept: object) -> str:
        calls.append((user, kept))
        if kept.get("fault"):
            raise {"refused": Refused("Taken."), "gone": rows.Gone(), "404": Http404(), "denied": PermissionDenied()}[
                str(kept["fault"])
            ]
        return "/things/1"

    monkeypatch.setattr(undo, "_restorers", {})
    assert undo.register("thing")(restore) is restore
    return calls


def press(request: HttpRequest, user: object, cure: Cure):
    request.user = user
    return undo.undo(request, cure.url.rpartition("/")[2])


@pytest.mark.django_db
def test_a_change_is_taken_back_once_by_who_made_it(restored, request_, cast):
    cure = undo.offer("thing", by=cast.owner, name="a")
    assert cure is not None and cure.operation == "undo" and cure.label == "Undo"
    assert press(request_, cast.stranger, cure).url == "/"
    assert restored == []
    assert press(request_, cast.owner, cure).url == "/things/1"
    assert restored == [(cast.owner, {"name": "a"})]
    assert press(request_, cast.owner, cure).url == "/"
    assert len(restored) == 1
    assert shown(request_) == [("warning", "This can't be undone any more.", None)] * 2


@pytest.mark.django_db
def test_what_is_kept_ends_after_an_hour(restored, redis_client: redis.Redis, cast):
    undo.offer("thing", by=cast.owner)
    (key,) = redis_client.keys("*undo*")
    assert 3590 <= redis_client.ttl(key) <= 3600


@pytest.mark.django_db
def test_what_is_in_the_way_leaves_the_button(restored, request_, cast):
    cure = undo.offer("thing", by=cast.owner, fault="refused")
    press(request_, cast.owner, cure)
    ((level, message, again),) = shown(request_)
    assert (level, message) == ("error", "Taken.")
    assert again is not None and again.url != cure.url
    press(request_, cast.owner, again)
    assert len(restored) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("fault", ["gone", "404", "denied"])
def test_what_is_not_there_any_more_cannot_be_taken_back(restored, request_, cast, fault):
    press(request_, cast.owner, undo.offer("thing", by=cast.owner, fault=fault))
    assert shown(request_) == [("warning", "This can't be undone any more.", None)]


@pytest.mark.django_db
def test_no_button_is_offered_while_redis_is_away(monkeypatch, cast, caplog):
    def fail(*args: object) -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(undo.cache, "set", fail)
    assert undo.offer("thing", by=cast.owner) is None
    assert "No undo is offered while Redis is away" in caplog.text
