"""An independent reader of Source cfg files, written from the engine's documented behaviour, character by character.

It shares no code with `servers.blueprints.checks` and answers what the game would execute.
"""

from __future__ import annotations

_BREAKS = set("{}()':,")


def executed(text: str) -> list[list[str]]:
    """The commands of a cfg text in order, each as its words."""
    return [words for raw in _split(text) if (words := _words(raw))]


def _split(text: str) -> list[str]:
    """Cut at newlines always, at semicolons outside of quotes; drop comments outside of quotes."""
    pieces, piece, quoted, skipping = [], "", False, False
    for at, char in enumerate(text):
        if char == "\n":
            pieces.append(piece)
            piece, quoted, skipping = "", False, False
        elif skipping:
            continue
        elif char == '"':
            quoted = not quoted
            piece += char
        elif not quoted and text[at : at + 2] == "//":
            skipping = True
        elif not quoted and char == ";":
            pieces.append(piece)
            piece = ""
        else:
            piece += char
    return [*pieces, piece]


def _words(piece: str) -> list[str]:
    words, word, state = [], "", "between"
    for char in piece:
        if state == "quoted":
            if char == '"':
                words.append(word)
                word, state = "", "between"
            else:
                word += char
        elif char == '"':
            if state == "bare":
                words.append(word)
            word, state = "", "quoted"
        elif char <= " ":
            if state == "bare":
                words.append(word)
                word, state = "", "between"
        else:
            word, state = word + char, "bare"
    if state != "between":
        words.append(word)
    return words


def name_as_the_engine_cuts_it(word: str) -> str:
    """A command's name ends at the engine's break characters."""
    for at, char in enumerate(word):
        if char in _BREAKS:
            return word[:at] if at else char
    return word
