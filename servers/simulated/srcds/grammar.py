"""The grammar of cfg files and console lines: commands, quotes, comments, tokens."""

from __future__ import annotations

# The engine's tokenizer buffer; a longer command is skipped as a whole.
LONGEST_COMMAND = 510
_LARGEST_NUMBER = 1e9


def split_commands(text: str) -> list[str]:
    """Commands of `text`, in order. Newlines and `;` end one, `//` comments out a line's rest, quotes protect both."""
    commands: list[str] = []
    for line in text.replace("\r", "\n").split("\n"):
        commands.extend(_split_line(line))
    return commands


def _split_line(line: str) -> list[str]:
    parts: list[str] = []
    start = position = 0
    quoted = False
    while position < len(line):
        character = line[position]
        if character == '"':
            quoted = not quoted
        elif not quoted and character == ";":
            parts.append(line[start:position])
            start = position + 1
        elif not quoted and line.startswith("//", position):
            break
        position += 1
    parts.append(line[start:position])
    return [part.strip() for part in parts if part.strip()]


class Command:
    """One command line: its name, its tokens and, as some commands want it, the raw text after the name."""

    __slots__ = ("args", "name", "rest")

    def __init__(self, line: str) -> None:
        tokens = tokens_of(line)
        self.name = tokens[0][0] if tokens else ""
        self.args = [text for text, _ in tokens[1:]]
        self.rest = line[tokens[0][1] :].strip() if tokens else ""

    @property
    def value(self) -> str:
        """What an assignment stores: everything after the name, without one surrounding pair of quotes."""
        text = self.rest
        if not text.startswith('"'):
            return text
        text = text[1:]
        return text[:-1] if text.endswith('"') else text

    @property
    def words(self) -> list[str]:
        """Arguments with quoted ones split at blanks too: `map "c1m1_hotel versus"` means the same unquoted."""
        return [word for arg in self.args for word in arg.split()]


def tokens_of(line: str) -> list[tuple[str, int]]:
    """Tokens with the position after each. A quote opens a token that only the next quote ends; nothing escapes it."""
    tokens: list[tuple[str, int]] = []
    position, end = 0, len(line)
    while position < end:
        character = line[position]
        if character <= " ":
            position += 1
        elif character == '"':
            close = line.find('"', position + 1)
            close = end if close < 0 else close
            tokens.append((line[position + 1 : close], min(close + 1, end)))
            position = close + 1
        else:
            start = position
            while position < end and line[position] > " " and line[position] != '"':
                position += 1
            tokens.append((line[start:position], position))
    return tokens


def number_of(text: str) -> float:
    """The number at the start of `text`, as C's atof reads it; 0 without one, and never infinite."""
    text = text.strip()
    end = 0
    while end < len(text) and (
        text[end] in "0123456789" or (text[end] == "." and "." not in text[:end]) or _sign(text, end)
    ):
        end += 1
    try:
        return max(-_LARGEST_NUMBER, min(float(text[:end]), _LARGEST_NUMBER))
    except ValueError:
        return 0.0


def _sign(text: str, position: int) -> bool:
    return position == 0 and text[0] in "+-"


def quoted(text: str) -> str:
    """`text` as one token."""
    return f'"{text}"' if not text or any(c <= " " or c == ";" for c in text) or "//" in text else text
