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


def test_a_description_may_have_several_lines():
    root = keyvalues.parse('"AddonInfo" { "addonDescription" "one\ntwo\nthree" addontitle "T" }')
    assert root.children[0].text("addontitle") == "T"
    assert root.children[0].text("addondescription") == "one\ntwo\nthree"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(alphabet='"{}[]/ \n\0ab', max_size=300), st.text(max_size=200)))
def test_no_text_makes_the_reader_crash(text):
    keyvalues.parse(text)


@pytest.mark.parametrize("piece", ['"', "{", "}", '"a\n{', "[", "//", "a ", '"\n'])
def test_a_megabyte_of_anything_is_read_in_little_time(piece):
    started = time.process_time()
    keyvalues.parse(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 3
