"""bin/audit: what it makes of a report, above all where nothing could be asked for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOUND = {"name": "django", "version": "5.2.9", "vulns": []}
VULNERABLE = {"name": "h11", "version": "0.15", "vulns": [{"id": "GHSA-1", "fix_versions": ["0.16"]}]}
SKIPPED = {"name": "celery", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def audit(place: Path, how: str = "--report") -> tuple[int, str]:
    argv = [sys.executable, "bin/audit", how, str(place)]
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


def locked(name: str) -> str:
    match = re.search(rf"^{name}==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert match
    return match[1]


def advisory(*events: dict[str, str], name: str = "Django", **fields: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    return {"id": "PYSEC-1", "modified": "2026-11-30T00:00:00Z", "affected": [affected], **fields}


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (advisory({"introduced": "0"}, {"fixed": "99.1"}), 1),
        (advisory({"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "4.0"}), 1),
        (advisory({"introduced": "0"}, {"last_affected": locked("django")}), 1),
        (advisory({"introduced": "0"}, {"fixed": locked("django")}), 0),
        (advisory({"introduced": "99"}), 0),
        (advisory({"introduced": "0"}, name="something-else"), 0),
        (advisory({"introduced": "0"}, withdrawn="2026-11-30T00:00:00Z"), 2),
    ],
)
def test_locked_packages_are_compared_with_advisories_of_a_file(record: dict[str, Any], code: int, tmp_path: Path):
    file = tmp_path / "advisories.json"
    file.write_text(json.dumps([record]))
    got, text = audit(file, "--advisories")
    assert got == code, text
    assert (f"django {locked('django')}: PYSEC-1" in text) == (code == 1)
    assert ("Nothing was audited" in text) == (code == 2)


def test_advisories_may_lie_in_a_folder_or_an_archive(tmp_path: Path) -> None:
    record = json.dumps(advisory({"introduced": "0"}, {"fixed": "99.1"}))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/PYSEC-1.json").write_text(record)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-1.json", record)
    for place in ("folder", "all.zip"):
        got, text = audit(tmp_path / place, "--advisories")
        assert (got, "mended in 99.1" in text) == (1, True), text


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"no JSON", b'{"affected": 1}', b'[{"id": 1, "affected": [1]}]']
)
def test_a_place_without_advisories_audits_nothing_and_says_so(content: bytes, tmp_path: Path) -> None:
    for name in ("advisories.json", "all.zip"):
        (tmp_path / name).write_bytes(content)
        got, text = audit(tmp_path / name, "--advisories")
        assert (got, "Nothing was audited" in text) == (2, True), text
    assert audit(tmp_path / "missing", "--advisories")[0] == 2


def test_without_a_database_the_audit_fails_in_one_sentence(tmp_path: Path) -> None:
    """pip-audit ends well with an empty report, or ends without one."""
    for printed in ("", '{"dependencies": []}'):
        tool = tmp_path / ".venv/bin/uvx"
        tool.parent.mkdir(parents=True, exist_ok=True)
        tool.write_text(f"#!/bin/sh\necho 'no route to host' >&2\nprintf '%s' '{printed}'\n")
        tool.chmod(0o755)
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin/audit").write_bytes((ROOT / "bin/audit").read_bytes())
        argv = [sys.executable, "bin/audit"]
        finished = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (finished.returncode, finished.stderr) == (2, "")
        assert "othing was audited" in finished.stdout or "nothing was audited" in finished.stdout
