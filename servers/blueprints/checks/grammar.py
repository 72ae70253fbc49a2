"""The grammar of a cfg line and of an argument line.

Source splits commands at newlines and `;`, drops `//` comments outside of quotes, and lets quotes group words. It
knows no escape. A quote that stays open ends with its line, and a quote inside a word begins another word. The
generated server.cfg is written from the words, with every quote closed, so that all parsers agree on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from django.utils.translation import gettext as _

# The engine's command buffer cuts longer lines.
LONGEST_LINE = 510

# Everything that ends a line or a string for some parser, and lone surrogates, which no file can contain.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAME = re.compile(r"[+-]?[A-Za-z0-9_]+\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)\Z")

# `./srcds_run` is a shell script that leaves its arguments unquoted: the shell would expand or split at these.
SHELL = re.compile(r"[*?\[\]\\$`]")

Command = tuple[str, ...]


class Malformed(ValueError):
    """The line is ambiguous. The message says where and why."""


@dataclass(frozen=True)
class Parsed:
    """One command of a cfg line: its words, its text with every quote closed, and the place of each word."""

    words: Command
    text: str
    places: tuple[tuple[int, int], ...] = ()

    @property
    def has_name(self) -> bool:
        return bool(_NAME.match(self.words[0]))


def refuse_characters(line: str) -> None:
    """Raise Malformed for control characters."""
    if match := _CONTROL.search(line):
        raise Malformed(_("This line contains a control character (U+%04X). Remove it.") % ord(match.group()))


def refuse_length(text: str) -> None:
    """Raise Malformed for a command that the game would cut."""
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_LINE:
        raise Malformed(_("This line is longer than %d bytes; the game would cut it off.") % LONGEST_LINE)


class _Token(NamedTuple):
    word: str
    is_quoted: bool
    # With its quotes.
    start: int
    end: int


def _tokens(line: str, *, comments: bool) -> list[_Token | None]:
    """The words of a line, with None for each `;` between two commands."""
    tokens: list[_Token | None] = []
    at = 0
    while at < len(line):
        char = line[at]
        if char in " \t":
            at += 1
        elif comments and line.startswith("//", at):
            break
        elif char == ";":
            tokens.append(None)
            at += 1
        elif char == '"':
            end = line.find('"', at + 1)
            end = len(line) if end < 0 else end
            tokens.append(_Token(line[at + 1 : end], True, at, min(end + 1, len(line))))
            at = end + 1
        else:
            end = at
            while end < len(line) and line[end] not in ' \t;"' and not (comments and line.startswith("//", end)):
                end += 1
            tokens.append(_Token(line[at:end], False, at, end))
            at = end
    return tokens


def parse(line: str) -> list[Parsed]:
    """The commands of one line of a cfg; none for a blank line or a comment, also one in the manner of a shell."""
    if line.startswith("#"):
        return []
    parsed: list[Parsed] = []
    words: list[_Token] = []
    for token in [*_tokens(line, comments=True), None]:
        if token is not None:
            words.append(token)
        elif words:
            text = " ".join(f'"{each.word}"' if each.is_quoted else each.word for each in words)
            places = tuple((each.start, each.end) for each in words)
            parsed.append(Parsed(tuple(each.word for each in words), text, places))
            words = []
    return parsed


def config_lines(text: str) -> list[str]:
    """The lines of a cfg text as they are written to the file, without a byte order mark before the first command."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip(" \t") for line in plain.split("\n")]


def argument_words(line: str) -> list[str]:
    """The words of one argument line, as they go into the argument list; raises Malformed.

    A blank line and a `//` comment have none.
    """
    refuse_characters(line)
    refuse_length(line)
    if line.lstrip().startswith("//"):
        return []
    if line.count('"') % 2:
        raise Malformed(_("Missing closing quote."))
    words: list[str] = []
    is_command = False
    for token in _tokens(line, comments=False):
        if token is None:
            raise Malformed(_("Semicolons are not allowed here. Write one argument per line."))
        word = token.word
        is_command = word.startswith("+") if not token.is_quoted and is_option(word) else is_command
        # The values of a +command can be moved to server.cfg, where the shell does not read them.
        if not is_command and (match := SHELL.search(word)):
            raise Malformed(
                _("The character %s is not allowed here, because the shell that starts the game would interpret it.")
                % match.group()
            )
        words.append(word)
    if words and not is_option(words[0]):
        raise _without_option()
    return words


def is_option(word: str) -> bool:
    """Whether a word names an option or command rather than a value; -5 is a value."""
    return word[:1] in {"-", "+"} and not _NUMBER.match(word)


def argument_options(words: list[str]) -> list[Command]:
    """The options of an argument line, each with its values."""
    options: list[list[str]] = []
    for word in words:
        if is_option(word) and " " not in word:
            if not _NAME.match(word):
                raise Malformed(_("“%s” is not a valid argument name.") % word)
            options.append([word])
        elif options:
            options[-1].append(word)
        else:
            raise _without_option()
    return [tuple(option) for option in options]


def _without_option() -> Malformed:
    return Malformed(_("Arguments start with - or +, for example “+map c1m1_hotel”."))
