"""Findings of the doctor, and the report that `manage.py doctor` and `left4mectl doctor` print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "fault"]

_MARKS: Final[dict[Level, str]] = {"ok": "ok     ", "warning": "warning", "fault": "FAULT  "}


@dataclass(frozen=True)
class Finding:
    """The result of one check. A `warning` disables a feature, a `fault` keeps left4me from working."""

    check: str
    level: Level
    message: str
    cure: str = ""


Check = Callable[[], Finding | Iterable[Finding]]


def ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def warning(check: str, message: str, cure: str) -> Finding:
    return Finding(check, "warning", message, cure)


def fault(check: str, message: str, cure: str) -> Finding:
    return Finding(check, "fault", message, cure)


def examine(checks: Mapping[str, Check]) -> list[Finding]:
    """Run every check. One that raises an exception becomes a fault and does not stop the others."""
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            result = check()
            findings += [result] if isinstance(result, Finding) else result
        except Exception as error:
            findings.append(fault(name, f"check failed: {error}", "Fix the other problems first."))
    return findings


def report(
    findings: Sequence[Finding],
    *,
    write: Callable[[str], object],
    as_json: bool,
    styles: Mapping[Level, Callable[[str], str]] | None = None,
) -> int:
    """Write the findings as text or as JSON; returns the exit status, 1 if one of them is a fault."""
    if as_json:
        write(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        for finding in findings:
            mark = _MARKS[finding.level]
            write(f"{styles[finding.level](mark) if styles else mark} {finding.check}: {finding.message}\n")
            if finding.cure:
                write(f"        → {finding.cure}\n")
    return 1 if any(finding.level == "fault" for finding in findings) else 0
