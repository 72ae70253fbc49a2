"""The parser of pasted ids and links, and its error messages."""

import pytest

from workshop import inputs


@pytest.mark.parametrize(
    "text",
    [
        "3434972877",
        "https://steamcommunity.com/sharedfiles/filedetails/?id=3434972877",
        "https://steamcommunity.com/workshop/filedetails/?id=3434972877&searchtext=helms+deep",
        "http://www.steamcommunity.com/sharedfiles/filedetails/?l=german&id=3434972877",
        "steamcommunity.com/sharedfiles/filedetails/?id=3434972877",
        "steam://url/CommunityFilePage/3434972877",
        "  <3434972877>,  ",
        "0003434972877",
        "steam://openurl/https://steamcommunity.com/sharedfiles/filedetails/?l=german&id=3434972877",
        "HTTPS://STEAMCOMMUNITY.COM/sharedfiles/filedetails/?id=3434972877",
    ],
)
def test_an_id_is_found_in_every_form_people_paste(text):
    assert inputs.parse(text) == inputs.Parsed((3434972877,), ())


def test_many_at_once_keep_their_order_and_stand_once():
    text = "3 2\r\n1,2;3 # my favourites 99\n\n# 98\nhttps://steamcommunity.com/sharedfiles/filedetails/?id=4"
    assert inputs.parse(text).ids == (3, 2, 1, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nhello\n", "Line 2: “hello” is not a workshop ID or a Steam Workshop link"),
        (
            "https://steamcommunity.com/id/gaben",
            "Line 1: “https://steamcommunity.com/id/gaben” is a link to a Steam profile",
        ),
        ("https://steamcommunity.com/sharedfiles/filedetails/", "contains no workshop ID"),
        (
            "https://steamcommunity.com.evil.example/sharedfiles/filedetails/?id=1",
            "is not a link to steamcommunity.com",
        ),
        ("https://steamcommunity.com/app/550", "is a Steam page, but not a workshop item or collection"),
        ("https://steamcommunity.com/profiles/7656", "is a link to a Steam profile"),
        ("9223372036854775808", "is not a valid workshop ID"),
        ("https://[steamcommunity.com/filedetails/?id=1", "is not a valid link"),
        ("ftp://steamcommunity.com/sharedfiles/filedetails/?id=1", "is not a link to steamcommunity.com"),
        ("0", "Line 1: “0” is not a valid workshop ID"),
        ("9999999999999999999", "is not a valid workshop ID"),
        ("12345678901234567890", "contains no workshop ID"),
        ("-5", "is not a workshop ID"),
        ("٣", "is not a workshop ID"),
        ("\n\n7 8 x9", "Line 3: “x9” is not a workshop ID"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text, message):
    problems = inputs.parse(text).problems
    assert len(problems) == 1
    assert message in str(problems[0])


def test_a_box_holds_as_much_as_it_may_and_more_is_refused_whole():
    text = "1," * 100_000
    assert inputs.parse(text) == inputs.Parsed((1,), ())
    [problem] = inputs.parse(text + " ").problems
    assert (problem.line, problem.text) == (1, "1,1,1,1,1,1,1,1,1,1,…")
    assert inputs.parse(text + " ").ids == ()
    lines = [str(number) for number in range(1, 2001)]
    assert inputs.parse("\n".join(lines)).ids == tuple(range(1, 2001))
    last = f"https://steamcommunity.com/sharedfiles/filedetails/?id=2001&{'x' * 99}"
    parsed = inputs.parse("\n".join([*lines, last, "5000"]))
    assert parsed.ids == ()
    [problem] = parsed.problems
    assert (problem.line, problem.text) == (2001, last[:80])
    assert "exceeds the 2000 items" in str(problem)


def test_what_cannot_be_read_is_cut_and_costs_only_itself():
    parsed = inputs.parse("1 " + "x" * 99 + "\n[] 2")
    assert parsed.ids == (1, 2)
    assert [(problem.line, problem.text) for problem in parsed.problems] == [(1, "x" * 80)]
