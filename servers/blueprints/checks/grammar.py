"""The grammar of a cfg line and of an argument line. It is so strict that all parsers agree on every accepted line.

Source splits commands at newlines and `;`, drops `//` comments outside of quotes, and lets quotes group words. It
knows no escape. Its parsers differ where quotes stand inside a word or stay open, so such lines are refused.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext as _

# The engine's command buffer cuts longer lines.
LONGEST_LINE = 510

# Everything that ends a line or a string for some parser, and lone surrogates, which no file can contain.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAME = re.compile(r"[+-]?[A-Za-z0-9_]+\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)\Z")

# `./srcds_run` is a shell script that leaves its arguments unquoted: the shell would expand or split at these.
_SHELL = re.compile(r"[*?\[\]\\$`]")

Command = tuple[str, ...]


class Malformed(ValueError):
    """The line is ambiguous. The message says where and why."""


def refuse_characters(line: str) -> None:
    """Raise Malformed for control characters, and for a line that is too long."""
    if match := _CONTROL.search(line):
        raise Malformed(_("A control character (U+%04X) stands in this line.") % ord(match.group()))
    if len(line.encode("utf-8", "surrogatepass")) > LONGEST_LINE:
        raise Malformed(_("The line is longer than %d bytes; the game would cut it.") % LONGEST_LINE)


def _tokens(line: str, *, comments: bool) -> list[str | None]:
    """The words of a line, with None for each `;` between two commands."""
    tokens: list[str | None] = []
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
            if end < 0:
                raise Malformed(_("A quotation mark is opened and not closed."))
            if end + 1 < len(line) and line[end + 1] not in " \t;":
                raise Malformed(_("A blank is missing after a closing quotation mark."))
            tokens.append(line[at + 1 : end])
            at = end + 1
        else:
            end = at
            while end < len(line) and line[end] not in ' \t;"' and not (comments and line.startswith("//", end)):
                end += 1
            if end < len(line) and line[end] == '"':
                raise Malformed(_("A quotation mark stands in the middle of a word."))
            tokens.append(line[at:end])
            at = end
    return tokens


def commands(line: str) -> list[Command]:
    """The commands of one line of a cfg, each as its words; none for a blank line or a comment.

    Raises Malformed, also for a command whose first word is no name.
    """
    refuse_characters(line)
    line_commands: list[Command] = []
    words: list[str] = []
    for token in [*_tokens(line, comments=True), None]:
        if token is not None:
            words.append(token)
        elif words:
            if not _NAME.match(words[0]):
                raise Malformed(_("“%s” is no name of a command or setting.") % words[0])
            line_commands.append(tuple(words))
            words = []
    return line_commands


def config_lines(text: str) -> list[str]:
    """The lines of a cfg text as they are written to the file, without a byte order mark before the first command."""
    return [line.strip(" \t") for line in text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")]


def without_comment(line: str) -> str:
    """The line up to a `//` outside of quotes; for lines that `commands` reads."""
    quoted = False
    for at, char in enumerate(line):
        if char == '"':
            quoted = not quoted
        elif not quoted and line.startswith("//", at):
            return line[:at].rstrip(" \t")
    return line


def argument_words(line: str) -> list[str]:
    """The words of one argument line, as they go into the argument list; raises Malformed.

    A blank line and a `//` comment have none.
    """
    refuse_characters(line)
    if line.lstrip().startswith("//"):
        return []
    words: list[str] = []
    for token in _tokens(line, comments=False):
        if token is None or ";" in token:
            raise Malformed(_("A semicolon would start another command; write one argument per line."))
        if match := _SHELL.search(token):
            raise Malformed(_("The character %s has a meaning for the shell that starts the game.") % match.group())
        words.append(token)
    if words and not is_option(words[0]):
        raise Malformed(_("An argument starts with - or +, for example “+map c1m1_hotel”."))
    return words


def is_option(word: str) -> bool:
    """Whether a word names an option or command rather than a value; -5 is a value."""
    return word[:1] in {"-", "+"} and not _NUMBER.match(word)


def argument_options(words: list[str]) -> list[Command]:
    """The options of an argument line, each with its values.

    A quoted value counts as its words: the shell script that starts the game splits it again.
    """
    options: list[list[str]] = []
    for word in " ".join(words).split():
        if is_option(word):
            if not _NAME.match(word):
                raise Malformed(_("“%s” is no name of an argument.") % word)
            options.append([word])
        else:
            options[-1].append(word)
    return [tuple(option) for option in options]
