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


def test_the_answer_has_what_steam_says_of_an_item(api, steam_world):
    steam_world.add(
        7,
        title="T" * 201,
        filename="f" * 256,
        file_url="u" * 1001,
        preview_url="p" * 1001,
        tags=[{"tag": "Campaigns"}, "x", {"tag": "t" * 51}],
    )
    item = api.items([7])[7]
    assert (item.title, item.filename) == ("T" * 200, "f" * 255)
    assert (len(item.file_url), len(item.preview_url), item.time_updated) == (1000, 1000, 1_700_000_000)
    assert item.tags == ("Campaigns", "t" * 50)
    steam_world.add(8, tags="x", consumer_app_id=0, consumer_appid=550, title=5)
    item = api.items([8])[8]
    assert (item.tags, item.problem, item.title) == ((), "", "")


def answers(**response):
    return Fault(body=json.dumps({"response": response}).encode())


def test_what_is_no_entry_is_left_out_and_what_was_not_answered_was_not_found(api, steam_world):
    details = [None, [], {"publishedfileid": "x"}, {"publishedfileid": 0}, {"publishedfileid": 5, "result": 1}]
    steam_world.api_faults.append(answers(publishedfiledetails=details))
    found = api.items([5, 6])
    assert {steam_id: item.result for steam_id, item in found.items()} == {5: 1, 6: 9}
    for response in ({}, {"publishedfiledetails": {}}):
        steam_world.api_faults.append(answers(**response))
        with pytest.raises(steam.SteamUnavailable, match="without content"):
            api.items([5])


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7), (7.9, 7), (2**63 - 1, 2**63 - 1), (2**63, 0), (-1, 0), ("", 0), ("x", 0), (None, 0), ({}, 0), (0, 0)],
)
def test_a_number_is_one_that_fits_into_a_row(value, number):
    assert steam._number(value) == number


def test_ids_are_asked_for_once_and_in_hundreds():
    assert [list(batch) for batch in steam.batches([3, 1, 3, 2], size=2)] == [[3, 1], [2]]
    assert [len(batch) for batch in steam.batches(range(201))] == [100, 100, 1]
    assert list(steam.batches([])) == []


def test_collections_are_told_from_items(api, steam_world):
    steam_world.add(5)
    steam_world.collections = {10: [(1, 0)], 11: []}
    assert api.collections_among([5, 10, 11, 12]) == {10}
    assert len(steam_world.requests) == 1


def test_children_stand_in_their_order_and_only_items_and_collections_count(api, steam_world):
    children = [
        {"publishedfileid": "3", "sortorder": 2, "filetype": 0},
        {"publishedfileid": "2", "sortorder": 1, "filetype": "0"},
        {"publishedfileid": "4", "sortorder": 0, "filetype": 1},
        {"publishedfileid": "0", "sortorder": 0, "filetype": 0},
        "x",
        {"publishedfileid": "1", "sortorder": 0},
    ]
    details = [{"publishedfileid": "10", "result": 1, "children": children}]
    steam_world.api_faults.append(answers(collectiondetails=details))
    assert api.collection(10) == steam.Collection(10, (1, 2, 3), {})


def test_a_collection_of_very_many_collections_is_not_followed(api, steam_world):
    for count, problems in ((199, 0), (200, 200)):
        steam_world.collections = {1: [(1000 + number, 2) for number in range(count)]}
        steam_world.collections |= {1000 + number: [(5, 0)] for number in range(count)}
        found = api.collection(1)
        assert (found.items, len(found.problems)) == ((5,) if not problems else (), problems)


def test_a_nested_collection_that_is_gone_is_named_and_the_rest_is_kept(api, steam_world):
    steam_world.collections = {10: [(1, 0), (11, 2), (12, 2)], 12: [(2, 0)]}
    found = api.collection(10)
    assert found.items == (1, 2)
    assert found.problems == {11: "not found on Steam: it was deleted or hidden, or the ID is wrong"}


def test_calls_that_are_far_apart_need_no_pause(steam_world, client, waits, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(steam.time, "monotonic", lambda: now[0])
    api = steam.Steam(base_url=steam_world.url + "/", client=client, pause=waits.append)
    for later in (0, 0.25, 1, 2):
        now[0] += later
        api.items([1])
    assert waits == [0.75]


def test_players_are_those_of_the_answer_and_some_hide(api, steam_world, client):
    steam_world.players = dict.fromkeys(range(1, 102), "n" * 200)
    steam_world.private_players = {2}
    found = api.players(range(1, 102))
    assert len(found) == 100
    assert [(player.steam_id_64, player.is_private) for player in found[:3]] == [(1, False), (2, True), (3, False)]
    assert found[0].persona_name == "n" * 128
    assert found[0].avatar_url.endswith("_medium.jpg")
    steam_world.api_faults.append(answers(players=["x", {"personaname": "no id"}, {"steamid": "7"}]))
    assert api.players([7]) == [steam.Player(7, "", "", is_private=False)]
    steam_world.api_faults.append(answers(players={}))
    assert api.players([7]) == []
    without_key = steam.Steam(base_url=steam_world.url, client=client)
    with pytest.raises(steam.SteamRefused, match="STEAM_WEB_API_KEY"):
        without_key.players([7])


def test_a_host_that_is_refused_is_not_asked_again_and_the_key_is_not_told(client, waits):
    api = steam.Steam(base_url="https://S3CRET.invalid", client=client, pause=waits.append, api_key="S3CRET")
    with pytest.raises(steam.SteamUnavailable, match="Steam cannot be reached") as failure:
        api.players([1])
    assert waits == []
    assert "S3CRET" not in str(failure.value)


def test_a_body_that_says_nothing_is_unavailable(api, steam_world):
    for body, words in (
        (b"  \n", "empty response"),
        (b"x", "not JSON"),
        (b"[]", "without content"),
        (b'{"a": 1}', "without"),
    ):
        steam_world.api_faults.extend([Fault(body=body)] * 3)
        with pytest.raises(steam.SteamUnavailable, match=words):
            api.items([1])
