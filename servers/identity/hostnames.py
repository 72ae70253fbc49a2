"""The names of servers in the game, made from a pattern of their blueprint.

`{n}` is the number of a server among those of its blueprint: the lowest free one when it is made or gets this
blueprint, and the same from then on. Another server may get it once this one is deleted or has another blueprint.
"""

from __future__ import annotations

import re
from typing import Final

from servers.blueprints.checks.grammar import LONGEST_LINE
from servers.models import Server

_PLACEHOLDER: Final = re.compile(r"\{(name|n)\}")
# What a line of a cfg holds beside its command and its quotes.
_LONGEST: Final = LONGEST_LINE - len('hostname ""')


def has_placeholder(pattern: str) -> bool:
    return bool(_PLACEHOLDER.search(pattern))


def fill(pattern: str, *, name: str, number: int) -> str:
    """The pattern with the values of a server, cut to what a line of a cfg can hold."""
    filled = _PLACEHOLDER.sub(lambda match: name if match[1] == "name" else str(number), pattern)
    return filled.encode()[:_LONGEST].decode(errors="ignore")


def of_server(pattern: str, server: Server) -> str:
    return fill(pattern, name=server.name, number=server.number)
