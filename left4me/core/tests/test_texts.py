"""Texts of unknown encoding: marks, UTF-16 without one, and the code pages of Windows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from left4me.core import texts


@pytest.mark.parametrize(
    "raw",
    [
        "标题 é".encode(),
        b"\xef\xbb\xbf" + "标题 é".encode(),
        "标题 é".encode("utf-16"),
        b"\xfe\xff" + "标题 é".encode("utf-16-be"),
    ],
)
def test_unicode_is_read_in_each_of_its_forms(raw):
    assert texts.decode(raw).text == "标题 é"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised(encoding):
    assert texts.decode('"mission" { "Name" "x" }'.encode(encoding)).text == '"mission" { "Name" "x" }'


SENTENCES = {
    "gb18030": [
        "// 服务器设置\nhostname 求生之路\n",
        '"DisplayTitle" "死亡中心 第一章"',
        "// 难度\n",
        "//管理员：张三 QQ1\nsv_x 1",
    ],
    "big5": ["// 伺服器設定\nhostname 惡靈勢力\n"],
    "cp932": ["// サーバー設定\n", "// 難易度\n"],
    "cp949": ["// 서버 설정을 여기에서 바꿉니다\n"],
    "cp1250": ["// Ustawienia serwera żółć gęś\n", "// Příliš žluťoučký kůň\n"],
    "cp1251": ["// Настройки сервера\nsv_x 1\n", "// имя\n", "// Кол-во игроков (max 8)\nsv_maxplayers 8\n"],
    "cp1252": ["// für Übung\n", 'hostname "Café à la française"\n', "// größe\n", "// señal año\n", "// © 2012\n"],
    "cp866": ["// Настройки сервера\n"],
}


@pytest.mark.parametrize(
    ("text", "encoding"), [(text, encoding) for encoding, group in SENTENCES.items() for text in group]
)
def test_a_few_words_in_an_old_code_page_are_enough(text, encoding):
    assert texts.decode(text.encode(encoding)) == texts.Decoded(text, encoding)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"hostname x", False),
        ("hostname Übung".encode(), False),
        ("// 设置".encode("gbk"), False),
        (b"\xef\xbb\xbfhostname x", True),
        ("hostname x".encode("utf-16"), True),
        ("hostname x".encode("utf-16-le"), True),
        ("hostname x".encode("utf-16-be"), True),
        (b"", False),
    ],
)
def test_what_the_game_cannot_execute_is_told_by_its_head(head, expected):
    assert texts.is_unexecutable(head) is expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_decoder_crash(raw):
    texts.decode(raw)


@pytest.mark.parametrize(
    ("raw", "encoding", "text"),
    [
        (b"", "utf_8", ""),
        (b"plain", "utf_8", "plain"),
        (b"\xef\xbb\xbfx", "utf_8_sig", "x"),
        (b"\xff\xfex\0", "utf_16_le", "x"),
        (b"\xfe\xff\0x", "utf_16_be", "x"),
        (b"x\0y\0", "utf_16_le", "xy"),
        (b"\0x\0y", "utf_16_be", "xy"),
        (b"x\0y", "utf_8", "x\0y"),
        (b"abcd\0", "utf_16_le", None),
        (b"abcde\0", "utf_8", "abcde\0"),
        (b"\xff", "cp1251", None),
    ],
)
def test_the_encoding_is_told_with_the_text(raw, encoding, text):
    found = texts.decode(raw)
    assert found.encoding == encoding or text is None
    assert text is None or found.text == text


def test_only_the_beginning_is_looked_at_for_utf_16():
    assert texts.decode(b"x" * 512 + b"\0" * 512).encoding == "utf_8"
    assert texts.decode(b"x\0" * 256 + b"x" * 4).encoding == "utf_16_le"


def test_what_fits_no_code_page_is_western():
    assert texts.detect(b"\x81", ["cp1252"]) == "cp1252"
    assert texts.detect(b"\xff\xff", []) == "cp1252"
    assert texts.decodes(b"x", "utf_8") and not texts.decodes(b"\xff", "utf_8")
