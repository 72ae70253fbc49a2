"""bin/audit: what it makes of a report, above all where nothing could be asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOUND = {"name": "django", "version": "5.2.9", "vulns": []}
VULNERABLE = {"name": "h11", "version": "0.15", "vulns": [{"id": "GHSA-1", "fix_versions": ["0.16"]}]}
SKIPPED = {"name": "celery", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def audit(report: Path) -> tuple[int, str]:
    argv = [sys.executable, "bin/audit", "--report", str(report)]
    finished = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return finished.returncode, finished.stdout


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([SOUND], 0, "1 packages audited, 0 known vulnerabilities"),
        ([SOUND, VULNERABLE], 1, "h11 0.15: GHSA-1, mended in 0.16"),
        ([SKIPPED], 2, "No advisory database could be reached"),
        ([SOUND, SKIPPED], 2, "Not audited, because the database does not know them: celery"),
        ([], 2, "nothing was audited"),
    ],
)
def test_what_could_not_be_asked_for_is_not_taken_for_sound(
    packages: list[dict[str, Any]], code: int, said: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"dependencies": packages}))
    got, text = audit(report)
    assert (got, said in text) == (code, True), text


def test_a_report_that_is_none_is_no_success(tmp_path: Path) -> None:
    assert audit(tmp_path / "missing.json")[0] == 2
