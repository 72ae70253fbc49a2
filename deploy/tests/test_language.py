"""The language of deploy/install, left4mectl and the doctor."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from deploy import arguments, cli, installer, language
from deploy.doctor import application, findings
from deploy.ops.layout import Layout

DEPLOY = Path(__file__).resolve().parents[1]
# Whose first argument, or all from the second on, is read by people.
_FAULT = re.compile(r"(Fault|CannotGoOn|BadSettings|Refused|BadArchive|BadPackage|NoNetwork)$")
_TITLES = {"Step", "say", "complain", "phase", "_without"}
_FINDINGS = {"ok", "warning", "fault"}


@pytest.fixture(autouse=True)
def back_to_english() -> Iterator[None]:
    yield
    language.speak(language.ENGLISH)


@pytest.mark.parametrize(
    ("environ", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "c"),
        ({"LANG": "de_AT.UTF-8"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "fr_FR", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "de:en"}, "de"),
        ({"LANG": "zh-Hans"}, "zh"),
        ({"LANG": ""}, "en"),
    ],
)
def test_the_system_names_the_language(environ: dict[str, str], spoken: str):
    assert language.of_system(environ) == spoken


def test_a_language_without_a_catalog_is_english():
    language.speak("c")
    assert language.spoken() == "en"
    assert language.gettext("fetching") == "fetching"


def test_what_goes_to_the_journal_is_english(tmp_path: Path):
    with (tmp_path / "journal").open("w") as journal:
        status, kept = os.fstat(journal.fileno()), os.dup(2)
        environ = {"LANG": "de_DE.UTF-8", "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        # A terminal that was started by systemd inherits the variable.
        assert language.of_system(environ) == "de"
        os.dup2(journal.fileno(), 2)
        try:
            assert language.of_system(environ) == "en"
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@pytest.mark.parametrize(("lang", "refusal"), [("de_DE.UTF-8", "Verwenden Sie"), ("zh_CN.UTF-8", "请")])
def test_installer_and_command_speak_it(lang: str, refusal: str, tmp_path: Path, monkeypatch, capsys):
    if os.geteuid() != 0:
        pytest.skip("both need root")
    monkeypatch.setenv("LANG", lang)
    monkeypatch.delenv("LANGUAGE", raising=False)
    layout = Layout(tmp_path)
    (tmp_path / "opt/left4me").mkdir(parents=True)
    (tmp_path / "opt/left4me/current").symlink_to("releases/x")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    assert installer.main(["--from", "x.tar.gz"], layout=layout) == 1
    assert refusal in capsys.readouterr().err
    assert cli.main(["upgrade", "--sha256", "x"], layout=layout) == 1
    assert language.gettext("--sha256 is the checksum of the archive that --from names.") in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["--help"], layout=layout)
    assert language.gettext("Manage left4me on this machine.") in capsys.readouterr().out


def test_argparse_speaks_it_too():
    language.speak("de")
    assert arguments.parser().format_help().startswith("Aufruf: left4mectl")
    parser = argparse.ArgumentParser(prog="x", exit_on_error=False)
    parser.add_argument("--kind", choices=["a"])
    with pytest.raises(argparse.ArgumentError, match="Argument --kind: ungültige Angabe: 'b'"):
        parser.parse_args(["--kind", "b"])


def test_findings_are_translated_for_people_and_english_for_programs(monkeypatch: pytest.MonkeyPatch):
    def examine() -> list[findings.Finding]:
        cure = language.gettext("Fix the other problems first.")
        return [findings.fault("disk", language.gettext("not installed"), cure)]

    monkeypatch.setattr(application, "examine", examine)
    monkeypatch.setenv("LANGUAGE", "de")
    assert _doctor() == "FEHLER  Festplatte: nicht installiert\n        → Beheben Sie zuerst die anderen Probleme.\n"
    (found,) = json.loads(_doctor("--json"))
    assert (found["check"], found["level"], found["message"]) == ("disk", "fault", "not installed")
    (found,) = json.loads(_doctor("--json", "--language=zh"))
    assert (found["check"], found["message"]) == ("disk", "未安装")


def _doctor(*options: str) -> str:
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("doctor", *options, stdout=out, no_color=True)
    return out.getvalue()


def test_whatever_people_read_is_marked_for_translation():
    sources = [*DEPLOY.glob("*.py"), *DEPLOY.glob("ops/**/*.py"), *DEPLOY.glob("doctor/*.py")]
    unmarked = [
        f"{path.relative_to(DEPLOY)}:{node.lineno} {ast.unparse(node)}"
        for path in sources
        if path.name not in ("release.py", "language.py")
        for node in _texts(ast.parse(path.read_text()))
        if _has_words(node)
    ]
    assert not unmarked


def _texts(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if _FAULT.search(name) or name in _TITLES:
                yield from node.args[:1]
            elif name in _FINDINGS:
                yield from node.args[1:]
            yield from (keyword.value for keyword in node.keywords if keyword.arg in ("help", "description"))


def _has_words(node: ast.expr) -> bool:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    words = " ".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    return bool(re.search(r"[a-z]{3}", re.sub("left4mectl|deploy/install", "", words)))
