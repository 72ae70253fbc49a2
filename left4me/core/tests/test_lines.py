import pytest

from left4me.core.lines import LONGEST_LINE, MASK, Masker, clean


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("plain text", "plain text"),
        ("grün ✓ 日本", "grün ✓ 日本"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("nul\x00 bell\x07 back\x08", "nul bell back"),
        ("right \u202eto left\u202c", "right to left"),
        ("two\nlines", "two lines"),
        ("half \ud800 pair", "half  pair"),
    ],
)
def test_what_could_deceive_a_reader_is_taken_out(raw, kept):
    assert clean(raw) == kept


def test_a_long_line_is_cut_and_says_how_long_it_was():
    line = clean("x" * 10_000)
    assert len(line) == LONGEST_LINE
    assert line.endswith("(10000 characters)")


def test_neither_colours_nor_the_cut_let_a_secret_through():
    mask = Masker(["hunter2"])
    assert clean("hun\x1b[31mter2", mask) == MASK
    assert "hunt" not in clean("x" * (LONGEST_LINE - 26) + "hunter2" + "x" * 100, mask)


def test_secrets_are_masked_the_longer_before_the_shorter_it_begins_with():
    mask = Masker(["hunter2", "hunter2-long", "", "ab"])
    assert mask("rcon_password hunter2-long and hunter2, ab") == f"rcon_password {MASK} and {MASK}, ab"
    mask.add(["c(1)"])
    assert mask("c(1)") == MASK


SECRET = "Sesame123Sesame456"


def test_a_text_that_goes_on_ends_before_a_secret_that_has_begun():
    mask = Masker([SECRET, "another"])
    whole = f"a {SECRET} b"
    for end in range(len(whole) + 1):
        shown = mask.so_far(whole[:end])
        assert "Sesa" not in shown
        assert whole.startswith(shown) or shown.startswith("a •••")
    assert mask.so_far(f"a {SECRET} b") == "a ••• b"
    assert Masker().so_far("as it is") == "as it is"


def test_bytes_are_masked_without_a_change_of_their_number():
    assert Masker([SECRET]).in_place(b"\xff" + SECRET.encode() + b"\n") == b"\xff" + b"*" * len(SECRET) + b"\n"
    assert Masker().in_place(b"as it is") == b"as it is"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a Ses", "a Ses"), ("a Sesa", "a "), ("a Sesame123Sesame45", "a "), ("a anoth", "a "), ("", "")],
)
def test_fewer_than_four_characters_of_a_secret_may_stay(text, shown):
    assert Masker([SECRET, "another"]).so_far(text) == shown


def test_the_longest_secret_counts_in_bytes():
    assert Masker().longest == 0
    assert Masker(["abcd", "üü", "üüü"]).longest == 6


def test_secrets_of_three_characters_are_masked_and_shorter_ones_are_not():
    assert Masker(["abc", "xy"])("abc xy") == f"{MASK} xy"


@pytest.mark.parametrize("length", [LONGEST_LINE, LONGEST_LINE + 1])
def test_only_a_longer_line_is_cut(length):
    assert (clean("x" * length) == "x" * length) is (length == LONGEST_LINE)
    assert len(clean("x" * length)) == LONGEST_LINE
