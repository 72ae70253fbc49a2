"""Texts of an old server are untrusted: whatever they contain, reading them ends, and raises nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from left4me.importer import compose, launch, people, settings_texts
from left4me.importer.launch import Launch
from left4me.importer.source import open_source
from left4me.importer.tests import shapes
from servers.blueprints import checks

PIECES = st.sampled_from(
    [
        *(
            "srcds_run",
            "-game left4dead2",
            "-port",
            "27015",
            "+map",
            "${PORT:-x}",
            "$(",
            "`",
            "\\\n",
            '"',
            "'",
            "\n",
            " ",
        ),
        *(
            "{{X}}",
            "%",
            "export A=",
            "ExecStart=",
            "Environment=",
            "services:",
            "  l4d2:",
            "    image: l4d2",
            "\t",
            "*a",
        ),
        *("&a", "<<: *a", "- ", "[", "{", ":", "hostname", "rcon_password", "\x1b[2J", "\ud800", "é", "x" * 600, ";"),
        *(
            '"STEAM_1:0:1" "99:z"',
            "//",
            "/*",
            "*/",
            "!",
            "volumes:",
            "./a:/left4dead2/addons",
            "environment:",
            "PORT=1",
        ),
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map(" ".join) | st.lists(PIECES, max_size=25).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_any_script_and_cfg_becomes_texts_that_a_blueprint_can_have(text: str):
    for found in launch.of_text(launch.of_unit(text), origin="x") or [Launch("x", text)]:
        server = settings_texts.server(found, cfg=text, cfg_path="server.cfg", usual_name="x")
        findings = checks.check(arguments=server.arguments, config=server.config)
        assert [each for each in findings if each.severity == checks.Severity.REFUSED] == []
        assert server.name
        json.dumps(server.notes)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_any_list_of_admins_is_read(text: str):
    admins, rest = people.read(text)
    assert len(people.access(admins)["people"]) == len(admins)
    assert len(rest) <= len(text)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_any_compose_file_and_egg_is_read(text: str):
    with tempfile.TemporaryDirectory() as folder:
        files = {"compose.yml": text.encode("utf-8", "replace"), "egg.json": text.encode("utf-8", "replace")}
        top = shapes.write(Path(folder).resolve(), {**files, ".env": "A=1\n"})
        with open_source(str(top), below=None) as source:
            compose.games(source)
            compose.launches(source)
            launch.of_scripts(source, [()])


@pytest.mark.parametrize(
    "text",
    [
        "services: {l4d2: {image: l4d2, environment: [1, {a: b}], volumes: [1, {source: 2}], ports: [{}, 1.5]}}",
        "services: {l4d2: {image: l4d2, command: 3, entrypoint: {a: b}}}",
        "services: {l4d2: {image: l4d2, environment: 7, volumes: 8, ports: 9, env_file: {x: y}}}",
        "services: [l4d2]",
        "services: {l4d2: &a {image: l4d2, command: *a}}",
        "services: {l4d2: {image: l4d2, environment: {PORT: null, MAP: 2020-01-01, CVAR_X: 'a\"b; quit'}}}",
        "[]",
        "!!python/object/apply:os.system [id]",
    ],
)
def test_compose_files_of_unusual_types_are_read(text: str, tmp_path: Path):
    top = shapes.write(tmp_path, {"compose.yml": text})
    with open_source(str(top), below=None) as source:
        compose.games(source)
        for found in compose.launches(source):
            server = settings_texts.server(found, cfg="", cfg_path="", usual_name="x")
            # A value stays a value, whatever it contains.
            assert {command.words[0] for line in server.config.splitlines() for command in checks.parse(line)} <= {"x"}
