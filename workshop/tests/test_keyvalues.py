"""The KeyValues parser on texts as authors write them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop import keyvalues


def test_blocks_values_comments_conditions_and_duplicates():
    root = keyvalues.parse(
        '// head\n"A" { "k" "v" bare value "k" "second" [$X360] // tail\n "inner" { x "http://a/b" } }\n"B" "1"'
    )
    a = root.first("a")
    assert [(n.key, n.value) for n in a.children] == [
        ("k", "v"),
        ("bare", "value"),
        ("k", "second"),
        ("inner", ""),
    ]
    assert a.text("K") == "v"
    assert a.first("INNER").text("x") == "http://a/b"
    assert root.text("b") == "1"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("[$X360]", False),
        ("[!$X360]", True),
        ("[$WIN32]", True),
        ("[ $WIN32 || $X360 ]", True),
        ("[$WIN32 && !$PS3]", True),
        ("[$X360||$PS3]", False),
        ("[!$WIN32]", False),
        ("[$]", True),
    ],
)
def test_a_condition_excludes_the_value_or_block_before_or_after_it(condition, holds):
    root = keyvalues.parse(f'"m" {{ "k" "v" {condition} "b" {condition} {{ "x" "1" }} "after" "1" }}')
    node = root.first("m")
    assert (node.text("k"), node.first("b") is not None) == (("v", True) if holds else ("", False))
    assert node.text("after") == "1"


def test_a_value_in_brackets_is_no_condition():
    assert keyvalues.parse('"m" { "color" [1 "k" "v" }').first("m").text("k") == "v"


def test_a_pair_without_its_inner_quotation_marks_costs_only_itself():
    node = keyvalues.parse('"m"\n{\n"Map city_1"\n"DisplayName" "One"\n"Image" "x"\n}').first("m")
    assert (node.text("displayname"), node.text("image")) == ("One", "x")


@pytest.mark.parametrize(
    "text",
    [
        '"m" { "Name" "one\n "Author" "me" }\n',
        '"m" { "Name" "one" "Author" "me"',
        '"m" { "Name" "one" } } } "Author" "x"',
        '"m"\n{\n"Name" "one"\n"x" "unclosed\n}\n"other" { }',
    ],
)
def test_what_was_never_closed_costs_only_itself(text):
    node = keyvalues.parse(text).first("m")
    assert node.text("name").startswith("one")


@pytest.mark.parametrize("end", ["", '"'])
def test_what_follows_an_unclosed_value_is_read_from_its_next_line(end):
    for indent in range(16):
        root = keyvalues.parse(f'm {{{" " * indent}k "value\n}} after 1 {end}')
        assert (root.first("m").text("k"), root.text("after")) == ("value", "1")


def test_a_description_may_have_several_lines():
    root = keyvalues.parse('"AddonInfo" { "addonDescription" "one\ntwo\nthree" addontitle "T" }')
    assert root.children[0].text("addontitle") == "T"
    assert root.children[0].text("addondescription") == "one\ntwo\nthree"


def test_a_value_may_stand_on_the_line_after_its_key():
    node = keyvalues.parse('"m" { "k"\n"v"\n"next" "1" }').first("m")
    assert (node.text("k"), node.text("next")) == ("v", "1")


def test_blocks_nest_to_a_depth_and_what_is_deeper_ends_the_reading():
    for depth, is_read in ((32, True), (33, False)):
        root = keyvalues.parse('"a" {' * depth + "}" * depth + '"after" "1"')
        assert root.text("after") == ("1" if is_read else "")
        levels, node = 0, root
        while node := node.first("a"):
            levels += 1
        assert levels == 32


@pytest.mark.parametrize("pair", ["a b ", "a { } "])
def test_no_more_than_so_many_keys_are_read(pair):
    assert len(keyvalues.parse(pair * 20_001).children) == 20_000


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_long_text_is_cut(quote):
    node = keyvalues.parse(f"{quote}{'k' * 5000}{quote} {quote}{'v' * 5000}{quote}").children[0]
    assert (len(node.key), len(node.value)) == (4096, 4096)
    # An unclosed value ends with its line, however long that is.
    assert keyvalues.parse('k "' + "v" * 5000 + "\r\n").children[0].value == "v" * 4096


@pytest.mark.parametrize(("length", "is_whole"), [(4096, True), (4097, False)])
def test_a_value_of_very_many_lines_was_never_closed(length, is_whole):
    value = "one\n" + "x" * (length - 4)
    node = keyvalues.parse(f'k "{value}" after 1').children[0]
    assert node.value == (value if is_whole else "one")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(alphabet='"{}[]/ \n\0ab', max_size=300), st.text(max_size=200)))
def test_no_text_makes_the_reader_crash(text):
    keyvalues.parse(text)


@pytest.mark.parametrize("piece", ['"', "{", "}", '"a\n{', "[", "//", "a ", '"\n'])
def test_a_megabyte_of_anything_is_read_in_little_time(piece):
    started = time.process_time()
    keyvalues.parse(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 3
