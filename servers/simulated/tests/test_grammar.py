import pytest

from servers.simulated.srcds.arguments import Arguments
from servers.simulated.srcds.grammar import Command, number_of, split_commands


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("a 1\nb 2", ["a 1", "b 2"]),
        ("a 1;b 2 ; ; c", ["a 1", "b 2", "c"]),
        ("a 1 // rest; b 2\nc", ["a 1", "c"]),
        ("// all\n\n  \n", []),
        ('say "x; y // z"; b', ['say "x; y // z"', "b"]),
        ('say "open; b\nc', ['say "open; b', "c"]),
        ("a 1\r\nb 2\r\n", ["a 1", "b 2"]),
        ('sv_downloadurl "http://x/"', ['sv_downloadurl "http://x/"']),
        ("sv_downloadurl http://x/", ["sv_downloadurl http:"]),
    ],
)
def test_a_text_splits_into_commands_as_the_engine_splits_it(text, commands):
    assert split_commands(text) == commands


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('hostname "My Server"', "My Server"),
        ("hostname My Server  ", "My Server"),
        ('hostname ""', ""),
        ('hostname "a" b', 'a" b'),
        ('hostname "say \\"hi\\""', 'say \\"hi\\"'),
        ('hostname"glued"', "glued"),
    ],
)
def test_an_assignment_takes_all_after_the_name_without_the_outer_quotes(line, value):
    assert Command(line).value == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        (" -2.5x", -2.5),
        ("+3", 3),
        ("1_0", 1),
        ("nan", 0),
        ("inf", 0),
        ("", 0),
        ("²", 0),
        ("1.2.3", 1.2),
        ("-", 0),
        ("9" * 400, 1e9),
    ],
)
def test_a_number_is_read_as_far_as_it_goes(text, number):
    assert number_of(text) == number


def test_a_quoted_argument_is_one_token_and_its_words_are_two():
    command = Command('map "c2m1_highway versus"')
    assert command.args == ["c2m1_highway versus"]
    assert command.words == ["c2m1_highway", "versus"]


def test_arguments_hold_switches_with_values_and_commands_with_all_their_words():
    switches = ["-game", "left4dead2", "-console", "-strictportbind", "-port", "27020"]
    words = ["+map", "c1m1_hotel coop", "+sv_tags", "a", "b", "+sv_region", "-1", "-maxplayers", "8"]
    arguments = Arguments([*switches, *words])
    assert arguments.text("game", "") == "left4dead2"
    assert arguments.has("strictportbind")
    assert arguments.number("port", 0) == 27020
    assert arguments.number("maxplayers", 0) == 8
    assert arguments.commands == ['map "c1m1_hotel coop"', "sv_tags a b", "sv_region -1"]
