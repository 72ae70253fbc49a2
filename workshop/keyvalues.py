"""A lenient parser for Valve's KeyValues text: any encoding, any case, unclosed blocks, duplicate keys."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

_DEEPEST = 32
_MOST_NODES = 20_000
_LONGEST_TOKEN = 4_096

_TOKEN = re.compile(
    r"""(?P<space>[\s\x00]+|//[^\n]*)
      | (?P<open>\{) | (?P<close>\})
      | (?P<condition>\[[^\]\n]{0,64}\])
      | "(?P<quoted>[^"]*)"
      | (?P<unclosed>")
      | (?P<bare>[^\s{}"\x00]+)""",
    re.VERBOSE,
)


@dataclass
class Node:
    """A key with either a value or children; keys may repeat, so children are a list."""

    key: str
    value: str = ""
    children: list[Node] = field(default_factory=list)

    def first(self, key: str) -> Node | None:
        folded_key = key.casefold()
        return next((child for child in self.children if child.key.casefold() == folded_key), None)

    def text(self, key: str) -> str:
        node = self.first(key)
        return node.value.strip() if node else ""


def parse(text: str) -> Node:
    """Parse `text` into a tree below a nameless root.

    Never raises: parts that cannot be parsed are left out.
    """
    root = Node("")
    stack, key, nodes = [root], None, 0
    for kind, token in _tokens(text):
        if nodes >= _MOST_NODES:
            break
        if kind == "open":
            # A block without a key still nests, so that its closing brace does not close another block.
            node = Node(key or "")
            nodes += 1
            if len(stack) > _DEEPEST:
                break
            stack[-1].children.append(node)
            stack.append(node)
            key = None
        elif kind == "close":
            key = None
            if len(stack) > 1:
                stack.pop()
        elif key is None:
            key = token
        else:
            stack[-1].children.append(Node(key, token))
            nodes += 1
            key = None
    return root


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    while (match := _TOKEN.match(text, at)) and len(tokens) < 3 * _MOST_NODES:
        at = match.end()
        kind = match.lastgroup or ""
        if kind in ("space", "condition"):
            continue
        if kind == "unclosed" or (kind == "quoted" and _swallows_lines(match["quoted"])):
            # An unclosed quotation mark would consume the rest of the file: end the value with its line.
            line = (
                text[match.start() + 1 :].split("\n", 1)[0]
                if kind == "unclosed"
                else match["quoted"].split("\n", 1)[0]
            )
            at = match.start() + 1 + len(line)
            tokens.append(("quoted", line.rstrip("\r")[:_LONGEST_TOKEN]))
            continue
        tokens.append((kind, match[kind][:_LONGEST_TOKEN]))
    return tokens


def _swallows_lines(value: str) -> bool:
    # A value may span several lines. If its next line begins or ends a block, the closing quote is missing.
    _, newline, rest = value.partition("\n")
    return bool(newline) and (rest.lstrip()[:1] in ("", "{", "}") or len(value) > _LONGEST_TOKEN)


def decode(raw: bytes) -> str:
    """Decode text of unknown encoding: by its BOM, else as UTF-8, GBK where it fits, or Windows-1252."""
    for bom, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if raw.startswith(bom):
            return raw[len(bom) :].decode(encoding, "replace")
    if raw[:64].count(0) >= 8:
        encoding = "utf-16-le" if raw[1:64:2].count(0) >= raw[0:64:2].count(0) else "utf-16-be"
        return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030" if _looks_like_gbk(raw) else "cp1252", "replace")


def _looks_like_gbk(raw: bytes) -> bool:
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return False
    # Chinese text comes in pairs of high bytes; accented Latin letters mostly stand alone.
    runs = re.findall(rb"[\x80-\xff]+", raw)
    return sum(len(run) % 2 == 0 for run in runs) * 2 > len(runs)
