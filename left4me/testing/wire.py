"""Compares responses of the API with reviewed files, so that the wire format does not change by accident.

`LEFT4ME_WRITE_WIRE=1 bin/test …` rewrites the files; their difference is then a part of the review.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)\Z")
_NUMBERS = {"id", "last_seq"}


def frozen(value: Any, key: str = "") -> Any:
    """`value` with what differs from run to run replaced: moments and row ids."""
    if isinstance(value, dict):
        return {name: frozen(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [frozen(inner, key) for inner in value]
    if isinstance(value, str):
        value = re.sub(r"^(server|overlay):\d+$", r"\1:<id>", value)
        value = re.sub(r"^(/[a-z]+/)\d+(?=/|$)", r"\1<id>", value)
        return "<moment>" if _MOMENT.match(value) else value
    if isinstance(value, int) and not isinstance(value, bool) and (key in _NUMBERS or key.endswith(("_id", "_ids"))):
        return f"<{key}>"
    return value


def check(answer: Any, file: Path) -> None:
    """Fail when `answer` differs from `file`."""
    text = json.dumps(frozen(answer), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("LEFT4ME_WRITE_WIRE"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"The wire format of {file.stem} has changed."
