"""Findings of the doctor, and the report that `manage.py doctor` and `left4mectl doctor` print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from deploy.language import gettext as _
from deploy.language import gettext_noop

Level = Literal["ok", "warning", "fault"]

_MARKS: Final[dict[Level, str]] = {
    "ok": gettext_noop("ok"),
    "warning": gettext_noop("warning"),
    "fault": gettext_noop("FAULT"),
}
_MARK_WIDTH: Final = 7
# Names of checks that are words. In JSON they stay in English.
_CHECKS: Final = (
    gettext_noop("application"),
    gettext_noop("archives"),
    gettext_noop("backup"),
    gettext_noop("clock"),
    gettext_noop("copies"),
    gettext_noop("database"),
    gettext_noop("disk"),
    gettext_noop("firewall"),
    gettext_noop("game libraries"),
    gettext_noop("game sandbox"),
    gettext_noop("keys of hosts"),
    gettext_noop("libraries"),
    gettext_noop("32-bit libraries"),
    gettext_noop("ports"),
    gettext_noop("proxy"),
    gettext_noop("release"),
    gettext_noop("restore"),
    gettext_noop("secrets"),
    gettext_noop("settings"),
    gettext_noop("time"),
    gettext_noop("upgrade"),
    gettext_noop("web"),
    gettext_noop("worker and beat"),
)


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
            findings.append(
                fault(name, _("check failed: %(error)s") % {"error": error}, _("Fix the other problems first."))
            )
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
            mark = _(_MARKS[finding.level]).ljust(_MARK_WIDTH)
            write(f"{styles[finding.level](mark) if styles else mark} {_(finding.check)}: {finding.message}\n")
            if finding.cure:
                write(f"        → {finding.cure}\n")
    return 1 if any(finding.level == "fault" for finding in findings) else 0
