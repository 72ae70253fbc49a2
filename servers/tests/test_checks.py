"""What a blueprint may say: each refusal with its line, each warning, and that what is accepted cannot break out."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.blueprints import checks
from servers.blueprints.checks import Severity, known, rules
from servers.lifecycle import launch_plan
from servers.models import StarterBlueprint
from servers.tests import cfg_reader


def refused(findings: list[checks.Finding]) -> list[int]:
    return [finding.line for finding in findings if finding.severity == Severity.REFUSED]


def warned(findings: list[checks.Finding]) -> list[int]:
    return [finding.line for finding in findings if finding.severity == Severity.WARNED]


@pytest.mark.parametrize(
    "line",
    [
        "rcon_password hunter2",
        "RCON_Password hunter2",
        '"rcon_password" hunter2',
        "sv_alltalk 1; rcon_password x",
        "sv_alltalk 1;;exec evil",
        "exec evil.cfg",
        "exec banned_user.cfg evil.cfg",
        "alias sv_pure quit",
        "sm_cvar rcon_password x",
        "sm_cvar sm_cvar rcon_password x",
        "toggle rcon_password a b",
        "sv_rcon_whitelist_address 1.2.3.4",
        "con_logfile ../../x",
        "sm plugins load evil",
        "SM exts LOAD evil",
        "meta load addons/evil",
        "plugin_load addons/evil",
        "script_execute evil",
        "quit",
        "hostport 27016",
        "tv_port 27016",
        "servercfgfile other.cfg",
        'hostname "open',
        'hostname a"b',
        'hostname "a"b',
        "exec:evil",
        "(exec evil",
        "{rcon_password} x",
        "name\twith\x0bvertical tab",
        "nul\x00",
        "bell \x07",
        "next line \x85 exec evil",
        "separator \u2028 exec evil",
        "x" * 511,
    ],
)
def test_a_config_line_is_refused(line: str) -> None:
    assert refused(checks.check_config(f"sv_pure 2\n{line}\n")) == [2]


@pytest.mark.parametrize(
    "line",
    [
        "-port 1",
        "+map c1m1_hotel -port 1",
        '"-port" 1',
        '+map "c1m1_hotel -port 1"',
        "-IP 1.2.3.4",
        "+ip 1.2.3.4",
        "-game other",
        "+exec evil",
        "+Exec evil",
        "+sm_cvar rcon_password x",
        "+rcon_password x",
        "+sv_rcon_banpenalty 0",
        "-debug",
        "-autoupdate",
        "-steam_dir /tmp",
        "-steamcmd_script x",
        "-binary ./evil",
        "-fork 2",
        "-netconport 1",
        "-pidfile /tmp/x",
        "-condebug",
        "-insecure",
        "+con_logfile x",
        "+plugin_load x",
        "+hostport 1",
        "+map c1m1; exec evil",
        '+map "c1m1;exec evil"',
        "+map $HOME",
        "+map `id`",
        "+map *",
        "+map c1\\m1",
        '+map "c1m1',
        '+ma"p" c1m1',
        "map c1m1_hotel",
        "+exec:evil",
        "--port 1",
        "+map x\rexec evil",
    ],
)
def test_an_argument_line_is_refused(line: str) -> None:
    assert refused(checks.check_arguments(f"+maxplayers 8\n\n{line}")) == [3]


@pytest.mark.parametrize(
    "line",
    [
        "",
        '   // only a comment with ; and an open " quote',
        'hostname "Anna\'s; server // really"',
        "sv_alltalk 1; sv_pure 2 // both",
        "exec banned_user.cfg",
        "SV_ALLTALK 1",
        "sm_cvar z_common_limit 50",
        'sv_tags "coop,custom"',
        "say +exec is a word here",
    ],
)
def test_a_config_line_is_accepted(line: str) -> None:
    assert refused(checks.check_config(line)) == []


@pytest.mark.parametrize(
    "line",
    ["+map c1m1_hotel", '+map "c1m1_hotel versus"', "-tickrate 60", "+sv_gravity -5", "// later", "+maxplayers 8"],
)
def test_an_argument_line_is_accepted(line: str) -> None:
    assert refused(checks.check_arguments(line)) == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("sv_password x", "broken"),
        ("sv_altalk 1", "sv_alltalk"),
        ("my_own_thing 1", "plugin"),
        ("z_common_limit 50", "sm_cvar"),
        ("nb_update_frequency 0.033", "sm_cvar"),
        ("hostname Zoë", "ASCII"),
        ("sv_downloadurl http://example.org/", "quotation"),
        ("logaddress_add 1.2.3.4:5", "another machine"),
    ],
)
def test_a_line_that_is_probably_a_mistake_is_named_but_accepted(line: str, word: str) -> None:
    findings = checks.check_config(line)
    assert refused(findings) == []
    assert any(word in finding.message for finding in findings), findings


def test_more_players_than_the_game_takes_is_a_warning() -> None:
    assert warned(checks.check_arguments("+maxplayers 8\n+maxplayers 16")) == [2]


def test_findings_name_the_field_and_the_line_that_a_text_area_shows() -> None:
    findings = checks.check(arguments="+map a\r\n-port 1", config="sv_pure 2\r\n\r\nquit")
    assert [(finding.field, finding.line) for finding in findings] == [("arguments", 2), ("config", 3)]
    assert str(findings[0]).startswith("Line 2: ")


def test_a_text_without_end_is_refused_once() -> None:
    assert refused(checks.check_config("quit\n" * 5000)) == [1001]


def test_the_shipped_list_names_each_setting_as_settings_are_named() -> None:
    assert len(known.names()) > 300
    assert all(name.replace("_", "").isalnum() for name in known.names())


@pytest.mark.django_db
def test_the_starters_have_no_finding() -> None:
    for starter in StarterBlueprint.objects.all():
        assert checks.check(arguments=starter.arguments, config=starter.config) == [], starter


# --- properties: hostile pieces joined in every order ---------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("exec", "rcon_password", "alias", "quit", "sv_alltalk", "sm_cvar", "say", "1", "evil.cfg", "+exec", "-port"),
        *('"', '""', ";", "//", "/", " ", "\t", "\n", "\r", "\r\n", "\\", "'", "{", "}", "(", ":", ",", "$", "*", "`"),
        *("\x00", "\x0b", "\x85", "\u2028", "ü", "é", "\ud800", "x" * 200),
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=60))


@given(config=TEXTS)
def test_an_accepted_config_executes_exactly_its_lines_and_ends_with_our_password(config: str) -> None:
    if refused(checks.check_config(config)):
        return
    made = launch_plan.server_cfg(name="Friday", exposed=[2, 1], config=config, rcon_password="s3cret")
    executed = cfg_reader.executed(made)
    first, *exec_lines, last = executed[:5] + executed[-1:]
    own = executed[5:-1]
    assert first == ["hostname", "Friday"]
    assert exec_lines == [
        ["exec", "banned_user.cfg"],
        ["exec", "banned_ip.cfg"],
        ["exec", "server_overlay_1"],
        ["exec", "server_overlay_2"],
    ]
    assert last == ["rcon_password", "s3cret"]
    assert own == cfg_reader.executed(config.replace("\r\n", "\n"))
    made.encode("utf-8")


@given(config=TEXTS)
def test_no_accepted_config_executes_a_refused_command(config: str) -> None:
    if refused(checks.check_config(config)):
        return
    for words in cfg_reader.executed(config.replace("\r\n", "\n")):
        name = cfg_reader.name_as_the_engine_cuts_it(words[0]).lower()
        assert name not in rules.REFUSED_COMMANDS or (name == "exec" and words[1:] in (["banned_user.cfg"],))


@given(text=TEXTS)
def test_accepted_arguments_never_bring_a_refused_option(text: str) -> None:
    if refused(checks.check_arguments(text)):
        return
    own = launch_plan.arguments(port=27015, text=text)[10:]
    # What srcds_run's shell makes of them: words split at blanks, quotes already gone.
    for word in " ".join(own).split(" "):
        assert word[1:].lower() not in rules.REFUSED_OPTIONS or word[0] not in "+-", own
        assert not set(word) & set(';$`*?[]\\\n\r\x00"')
    assert shlex.split(" ".join(map(shlex.quote, own))) == list(own)
