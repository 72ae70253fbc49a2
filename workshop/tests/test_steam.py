"""The Steam client against the simulated Steam: shapes, coercions, nesting, pace and failures."""

import json

import pytest

from left4me.core.net import fetch
from left4me.testing.simulated_steam import Fault, SimulatedSteam
from workshop import steam


@pytest.fixture
def waits():
    return []


@pytest.fixture
def without_pace(monkeypatch):
    monkeypatch.setattr(steam, "_SECONDS_BETWEEN_CALLS", 0.0)


@pytest.fixture
def api(steam_world, client, waits, without_pace):
    return steam.Steam(base_url=steam_world.url, client=client, pause=waits.append, api_key="S3CRET")


def test_details_come_for_every_id_and_sizes_are_numbers(api, steam_world):
    steam_world.add(1001, title=" Helm's\u0000 Deep ")
    steam_world.add(1002)
    found = api.items([1001, 1002, 5])
    assert found[1001].title == "Helm's Deep"
    assert all(isinstance(found[i].file_size, int) and found[i].file_size > 0 for i in (1001, 1002))
    assert found[1001].problem == ""
    assert found[5].problem == "not found on Steam: it was deleted or hidden, or the ID is wrong"


@pytest.mark.parametrize(
    ("details", "problem"),
    [
        ({"result": 15}, "access denied: the item is private or friends-only"),
        ({"result": 84}, "Steam's rate limit was reached; try again later"),
        ({"result": 77}, "Steam returned result 77"),
        ({"consumer_app_id": 730}, "for another game (app 730), not Left 4 Dead 2"),
        (
            {"consumer_app_id": 500, "creator_app_id": 550},
            "for another game (app 500), not Left 4 Dead 2",
        ),
        ({"banned": 1}, "banned from the workshop"),
    ],
)
def test_an_item_that_cannot_be_used_says_why(api, steam_world, details, problem):
    steam_world.add(7, **details)
    assert api.items([7])[7].problem == problem


@pytest.mark.parametrize("size", ["12x", "", None, -1, [], "9" * 40, 1e400, True])
def test_nonsense_in_a_number_becomes_harmless(api, steam_world, size):
    steam_world.add(7, file_size=size)
    assert api.items([7])[7].file_size in (0, 1)


def test_two_hundred_and_fifty_ids_are_asked_in_three_calls(api, steam_world):
    ids = range(1, 251)
    assert len(api.all_items(ids)) == 250
    assert len(steam_world.requests) == 3


def test_calls_keep_a_second_between_them(steam_world, client, waits):
    api = steam.Steam(base_url=steam_world.url, client=client, pause=waits.append)
    api.all_items(range(1, 251))
    assert len(waits) == 2
    assert all(0.5 < wait <= 1 for wait in waits)


def test_nested_collections_become_one_list_in_order(api, steam_world):
    steam_world.collections = {
        10: [(1, 0), (11, 2), (4, 0), (99, 1)],
        11: [(2, 0), (12, 2), (1, 0)],
        12: [(3, 0)],
    }
    assert api.collection(10) == steam.Collection(10, (1, 2, 3, 4), {})


def test_collections_that_hold_each_other_end(api, steam_world):
    steam_world.collections = {10: [(11, 2), (1, 0)], 11: [(10, 2), (2, 0)]}
    assert api.collection(10).items == (2, 1)
    assert len(steam_world.requests) == 2


def test_a_fourth_level_is_left_out_and_named(api, steam_world):
    steam_world.collections = {10: [(11, 2)], 11: [(12, 2)], 12: [(13, 2), (1, 0)], 13: [(2, 0)]}
    assert api.collection(10) == steam.Collection(10, (1,), {13: "this collection is nested too deeply"})


def test_an_item_or_a_missing_page_is_no_collection(api, steam_world):
    steam_world.add(5)
    assert api.collection(5).problems == {5: "not a collection, or an empty collection"}
    assert api.collection(6).problems == {6: "not found on Steam: it was deleted or hidden, or the ID is wrong"}


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        (Fault(status=429, headers=(("Retry-After", "7"),)), 7.0),
        (Fault(status=429, headers=(("Retry-After", "86400"),)), 30.0),
        (Fault(status=503), 1.0),
        (Fault(body=b""), 1.0),
        (Fault(body=b"<html>maintenance</html>"), 1.0),
        (Fault(body=b'{"response":[]}'), 1.0),
        (Fault(body=b"[" * 100_000), 1.0),
    ],
)
def test_a_busy_steam_is_asked_again_after_a_pause(api, steam_world, waits, fault, wait):
    steam_world.add(1)
    steam_world.api_faults.append(fault)
    assert api.items([1])[1].problem == ""
    assert waits == [wait]


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(status=429), steam.SteamUnavailable, r"Steam's rate limit was reached \(HTTP status 429\)"),
        (Fault(status=500), steam.SteamUnavailable, r"Steam has an internal error \(HTTP status 500\)"),
        (Fault(body=b""), steam.SteamUnavailable, "Steam returned an empty response"),
        (Fault(status=403), steam.SteamRefused, r"Steam refused the request \(HTTP status 403\)"),
        (Fault(status=302, headers=(("Location", "/"),)), steam.SteamRefused, "HTTP status 302"),
    ],
)
def test_a_steam_that_stays_broken_is_an_error_that_names_it(api, steam_world, fault, error, words):
    steam_world.api_faults.extend([fault] * 3)
    with pytest.raises(error, match=words):
        api.items([1])


def test_a_steam_that_is_not_there_is_an_error_that_names_it(tmp_path, waits, without_pace):
    with SimulatedSteam(tmp_path) as gone:
        hosts = fetch.AllowedHosts.parse([gone.url])
    with fetch.Client(hosts=hosts) as client:
        api = steam.Steam(base_url=gone.url, client=client, pause=waits.append)
        with pytest.raises(steam.SteamUnavailable, match=r"Steam cannot be reached: .*refused"):
            api.items([1])
    assert waits == [1.0, 3.0]


def test_players_come_with_name_and_picture_and_the_key_stays_out_of_messages(api, steam_world):
    steam_world.players = {76561197960287930: "Gabe"}
    assert [p.persona_name for p in api.players([76561197960287930, 76561197960287931])] == ["Gabe"]
    steam_world.api_faults.extend([Fault(status=403), Fault(body=json.dumps({"response": {}}).encode())])
    with pytest.raises(steam.SteamRefused) as failure:
        api.players([1])
    assert "S3CRET" not in str(failure.value)
    assert api.players([1]) == []
