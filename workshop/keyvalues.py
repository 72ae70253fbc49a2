"""A lenient parser for Valve's KeyValues text: any encoding, any case, unclosed blocks, duplicate keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import zip_longest

_DEEPEST = 32
_MOST_NODES = 20_000
_LONGEST_TOKEN = 4_096

_TOKEN = re.compile(
    r"""(?P<space>[\s\x00]+|//[^\n]*)
      | (?P<open>\{) | (?P<close>\})
      | (?P<condition>\[[ \t]*!?[ \t]*\$[^\]\n]{0,64}\])
      | "(?P<quoted>[^"]*)"
      | (?P<unclosed>")
      | (?P<bare>[^\s{}"\x00]+)""",
    re.VERBOSE,
)
# A condition such as [$X360] or [!$X360 && !$PS3] selects a platform. Names that are true here; all others are false.
_TRUE_CONDITIONS = frozenset({"WIN32", "WINDOWS", "PC", "LINUX", "POSIX", "ENGLISH"})
_CONDITION_TERM = re.compile(r"(!?)\s*\$(\w+)")


@dataclass
class Node:
    """A key with either a value or children; keys may repeat, so children are a list.

    A node that a condition reserves for another platform `is_excluded`.
    """

    key: str
    value: str = ""
    children: list[Node] = field(default_factory=list)
    is_excluded: bool = False

    def all(self, key: str) -> list[Node]:
        """The children of this key that are not excluded."""
        folded_key = key.casefold()
        return [child for child in self.children if child.key.casefold() == folded_key and not child.is_excluded]

    def first(self, key: str) -> Node | None:
        return next(iter(self.all(key)), None)

    def text(self, key: str) -> str:
        node = self.first(key)
        return node.value.strip() if node else ""


def parse(text: str) -> Node:
    """Parse `text` into a tree below a nameless root.

    Never raises: parts that cannot be parsed are left out.
    """
    reader = _Reader()
    tokens = _tokens(text)
    for token, following in zip_longest(tokens, tokens[1:]):
        if not reader.take(token, following):
            break
    return reader.root


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int

    @property
    def is_text(self) -> bool:
        return self.kind in ("quoted", "bare")


class _Reader:
    """Builds the tree from tokens."""

    def __init__(self) -> None:
        self.root = Node("")
        self._stack = [self.root]
        self._nodes = 0
        self._key: _Token | None = None
        # A condition after a key belongs to the block that follows, a condition after a value to that value.
        self._is_excluded = False
        self._last: Node | None = None

    def take(self, token: _Token, following: _Token | None) -> bool:
        """Add a token; returns whether more are accepted."""
        if token.kind == "open":
            return self._open()
        if token.kind == "close":
            self._key, self._last = None, None
            if len(self._stack) > 1:
                self._stack.pop()
        elif token.kind == "condition":
            self._restrict(token.text)
        elif self._key is None or self._has_no_value(token, following):
            self._key, self._is_excluded = token, False
        else:
            self._add(Node(self._key.text, token.text))
            self._key = None
        return self._nodes < _MOST_NODES

    def _has_no_value(self, token: _Token, following: _Token | None) -> bool:
        """Whether the key lost its value to a missing quotation mark: the next line holds a pair of its own."""
        if self._key is None or self._key.line == token.line or following is None:
            return False
        return following.is_text and following.line == token.line

    def _open(self) -> bool:
        if len(self._stack) > _DEEPEST:
            return False
        # A block without a key still nests, so that its closing brace does not close another block.
        node = Node(self._key.text if self._key else "", is_excluded=self._is_excluded)
        self._add(node)
        self._stack.append(node)
        self._key, self._last, self._is_excluded = None, None, False
        return self._nodes < _MOST_NODES

    def _add(self, node: Node) -> None:
        self._stack[-1].children.append(node)
        self._last = node
        self._nodes += 1

    def _restrict(self, condition: str) -> None:
        if _holds(condition):
            return
        if self._key is not None:
            self._is_excluded = True
        elif self._last is not None:
            self._last.is_excluded = True


def _holds(condition: str) -> bool:
    """Whether a condition is true. `&&` and `||` are not mixed in practice; `||` binds less."""
    return any(
        all((name.upper() in _TRUE_CONDITIONS) != (sign == "!") for sign, name in _CONDITION_TERM.findall(part))
        for part in condition.split("||")
    )


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = line = 0
    while (match := _TOKEN.match(text, at)) and len(tokens) < 3 * _MOST_NODES:
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            line += match[kind].count("\n")
            continue
        if kind == "unclosed" or (kind == "quoted" and _swallows_lines(match["quoted"])):
            # An unclosed quotation mark would consume the rest of the file: end the value with its line.
            value = (text[match.start() + 1 :] if kind == "unclosed" else match["quoted"]).partition("\n")[0]
            at = match.start() + 1 + len(value)
            tokens.append(_Token("quoted", value.rstrip("\r")[:_LONGEST_TOKEN], line))
            continue
        tokens.append(_Token(kind, match[kind][:_LONGEST_TOKEN], line))
        line += match[kind].count("\n")
    return tokens


def _swallows_lines(value: str) -> bool:
    # A value may span several lines. If its next line begins or ends a block, the closing quote is missing.
    _, newline, rest = value.partition("\n")
    return bool(newline) and (rest.lstrip()[:1] in ("", "{", "}") or len(value) > _LONGEST_TOKEN)
