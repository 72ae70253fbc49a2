"""What a blueprint may say: each refusal with its line, each warning, and that what is accepted cannot break out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.blueprints import checks, translation
from servers.blueprints.checks import Severity, console, grammar, known, rules
from servers.lifecycle import launch_plan
from servers.models import StarterBlueprint
from servers.tests import cfg_reader


def refused(findings: list[checks.Finding]) -> list[int]:
    return [finding.line for finding in findings if finding.severity == Severity.REFUSED]


def warned(findings: list[checks.Finding]) -> list[int]:
    return [finding.line for finding in findings if finding.severity == Severity.WARNED]


def noted(findings: list[checks.Finding]) -> list[int]:
    return [finding.line for finding in findings if finding.severity == Severity.NOTED]


@pytest.mark.parametrize(
    "line",
    [
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
        "rcon_password hunter2",
        "RCON_Password hunter2",
        '"rcon_password" hunter2',
        "sv_setsteamaccount ABCDEF",
        "sm_cvar rcon_password x",
        "sm_cvar sm_cvar rcon_password x",
        "toggle rcon_password a b",
        "+rcon_password x",
        "sv_rcon_whitelist_address 1.2.3.4",
        "con_logfile ../../x",
        "hostport 27016",
        "ip 1.2.3.4",
        "tv_port 27016",
        "servercfgfile other.cfg",
        "alias rcon_password quit",
        "exec server.cfg",
        "exec server",
        'hostname ""',
        "hostname",
    ],
)
def test_a_config_line_that_left4me_sets_itself_is_noted_and_not_executed(line: str) -> None:
    findings = checks.check_config(f"sv_pure 2\n{line}\n")
    assert (refused(findings), warned(findings), noted(findings)) == ([], [], [2])
    assert launch_plan.effective_lines(f"sv_pure 2\n{line}\n") == ["sv_pure 2"]
    both = launch_plan.effective_lines(f"sv_pure 2; {line}; sv_alltalk 1")
    assert both == ["sv_pure 2; sv_alltalk 1"]


@pytest.mark.parametrize("line", ["quit", "_restart", "exec:evil", "(exec evil", "{rcon_password} x", "ip=1"])
def test_a_config_line_that_ends_the_game_or_is_no_command_is_warned_of_and_not_executed(line: str) -> None:
    assert warned(checks.check_config(f"sv_pure 2\n{line}\n")) == [2]
    assert launch_plan.effective_lines(f"sv_pure 2\n{line}\n") == ["sv_pure 2"]


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
        "+hostport 1",
        "+map c1m1; exec evil",
        '+map "c1m1;exec evil"',
        "+map $HOME",
        "+map `id`",
        "+map *",
        "+map c1\\m1",
        '+map "c1m1',
        "map c1m1_hotel",
        "+exec:evil",
        "--port 1",
    ],
)
def test_an_argument_line_is_refused(line: str) -> None:
    assert refused(checks.check_arguments(f"+maxplayers 8\n\n{line}")) == [3]


@pytest.mark.parametrize(
    "line",
    [
        "",
        '   // only a comment with ; and an open " quote',
        "# a comment in the manner of a shell; rcon_password x",
        'hostname "Anna\'s; server // really"',
        'hostname "the quote stays open',
        'hostname"no blank before it"',
        "hostname 欢迎",
        "\tsv_alltalk\t1\t; sv_pure 2 // both",
        "exec banned_user.cfg",
        "SV_ALLTALK 1",
        "sm_cvar z_common_limit 50",
        "sm plugins load_unlock",
        'sv_tags "coop,custom"',
        "say +exec is a word here",
        "sv_lan 0",
        "sv_cheats 0 // 1 for tests",
        'sv_password ""',
        "sv_password",
        "log off",
        "log on",
        "writeid",
        "heartbeat",
        "my_own_thing 1",
        "l4d_infectedbots_limit 8",
        "confogl_match_allowvoting 1",
        "alias greet say hello",
        'sv_downloadurl "http://example.org/"',
        "logaddress_add 1.2.3.4:5",
    ],
)
def test_a_config_line_is_right(line: str) -> None:
    findings = checks.check_config(line, files={})
    assert [finding for finding in findings if finding.severity != Severity.NOTED] == []


@pytest.mark.parametrize(
    "line",
    [
        "rcon_password hunter2",
        '"rcon_password" hunter2',
        "sv_alltalk 1; rcon_password x",
        "sv_alltalk 1;;exec evil",
        "exec banned_user.cfg evil.cfg",
        "alias sv_pure quit",
        "sm_cvar sm_cvar rcon_password x",
        "toggle rcon_password a b",
        "sv_rcon_whitelist_address 1.2.3.4",
        "con_logfile ../../x",
        "SM exts LOAD evil",
        "meta load addons/evil",
        "plugin_load addons/evil",
        "script_execute evil",
        "quit",
        "hostport 27016",
        'hostname "open',
        'hostname a"b',
        'hostname "a"b',
        "exec:evil",
        "# x; quit",
        "{rcon_password} x",
        "bell \x07",
        "x" * 511,
    ],
)
def test_the_console_of_a_running_game_refuses(line: str) -> None:
    assert console.refusal(line)
    assert console.refusal('say "hi; all"; sv_alltalk 1 // both') == ""


def test_a_quote_that_stays_open_is_closed_and_a_byte_order_mark_is_taken_off() -> None:
    text = '\ufeffsv_pure 2\rhostname "Friday // night\r\nsv_tags"a b"'
    assert launch_plan.effective_lines(text) == ["sv_pure 2", 'hostname "Friday // night"', 'sv_tags "a b"']


def test_exec_names_the_layer_that_holds_the_file_and_warns_when_none_does() -> None:
    files = {"rates.cfg": "Fast rates", "sub/x.cfg": "Other"}
    findings = checks.check_config("exec Rates\nexec sub/x.cfg\nexec missing.cfg\nexec banned_ip.cfg", files=files)
    assert (noted(findings), warned(findings)) == ([1, 2], [3])
    assert "Fast rates" in findings[0].message
    assert checks.check_config("exec missing.cfg") == []


@pytest.mark.parametrize(
    "line",
    [
        "+map c1m1_hotel",
        "+plugin_load x",
        '+sv_tags "a *b"',
        '+map "c1m1_hotel versus"',
        "-tickrate 60",
        "+sv_gravity -5",
        "// later",
        "+maxplayers 8",
    ],
)
def test_an_argument_line_is_accepted(line: str) -> None:
    assert refused(checks.check_arguments(line)) == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("sv_password x", "does not work"),
        ("sv_altalk 1", "sv_alltalk"),
        ("z_dificulty Hard", "z_difficulty"),
        ("hostnmae x", "hostname"),
        ("sv_cheats 1", "Cheats"),
        ("sv_lan 1", "LAN"),
        ("map c1m1_hotel", "reload the map"),
        ("sv_downloadurl http://example.org/", "in quotes"),
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


def test_settings_that_may_be_cheats_are_one_note() -> None:
    findings = checks.check_config("sv_pure 2\nz_common_limit 50\nnb_update_frequency 0.033\nz_common_limit 60")
    assert noted(findings) == [2]
    assert "1 more" in findings[0].message


def test_a_text_without_end_is_refused_once() -> None:
    assert refused(checks.check_config("quit\n" * 5000)) == [4001]


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


def executed(config: str) -> list[list[str]]:
    """What the game would execute of a config as it stands, by the independent reader."""
    lines = config.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return cfg_reader.executed("\n".join(line for line in lines if not line.strip(" \t").startswith("#")))


@given(config=TEXTS)
def test_an_accepted_config_executes_its_lines_without_ours_and_ends_with_our_password(config: str) -> None:
    if refused(checks.check_config(config)):
        return
    made = launch_plan.server_cfg(name="Friday", exposed=[2, 1], config=config, rcon_password="s3cret")
    commands = cfg_reader.executed(made)
    first, *exec_lines, last = commands[:5] + commands[-1:]
    own = commands[5:-1]
    assert first == ["hostname", "Friday"]
    assert exec_lines == [
        ["exec", "banned_user.cfg"],
        ["exec", "banned_ip.cfg"],
        ["exec", "server_overlay_1"],
        ["exec", "server_overlay_2"],
    ]
    assert last == ["rcon_password", "s3cret"]
    rest = iter(executed(config))
    assert all(any(words == other for other in rest) for words in own), (own, executed(config))
    dropped = [words for words in executed(config) if words not in own]
    assert all(checks.left_out(grammar.Parsed(tuple(words), "")) for words in dropped), dropped
    made.encode("utf-8")


@given(config=TEXTS)
def test_no_accepted_config_executes_a_command_that_left4me_sets_itself(config: str) -> None:
    if refused(checks.check_config(config)):
        return
    for words in cfg_reader.executed("\n".join(launch_plan.effective_lines(config))):
        name = cfg_reader.name_as_the_engine_cuts_it(words[0]).lower()
        assert name not in rules.LEFT_OUT


@given(text=TEXTS)
def test_accepted_arguments_never_bring_an_option_that_left4me_sets_itself(text: str) -> None:
    if refused(checks.check_arguments(text)):
        return
    own = launch_plan.arguments(port=27015, text=text)[10:]
    for word in own:
        assert word[1:].lower() not in rules.TAKEN_OUT or word[:1] not in "+-", own
        assert not set(word) & set(';$`*?[]\\\n\r\x00" ')
    # What Valve's srcds_run, which splits its arguments again, makes of them.
    assert " ".join(own).split() == list(own)


@given(text=TEXTS)
def test_a_translation_of_any_text_is_accepted_or_refused_and_stays_as_it_is(text: str) -> None:
    once = translation.translate(arguments=text, config="")
    again = translation.translate(arguments=once.arguments, config=once.config)
    assert (again.arguments, again.config) == (once.arguments, once.config)


# --- help while typing ------------------------------------------------------------------------------------------


def test_names_are_completed_with_their_help_those_that_begin_so_first():
    names = [each.name for each in known.complete("sv_allow")]
    assert names[:3] == ["sv_allow_lobby_connect_only", "sv_allowdownload", "sv_allowupload"]
    (gamemode,) = [each for each in known.complete("gamemode") if each.name == "mp_gamemode"]
    assert gamemode.help.startswith("Mode: coop")


def test_every_described_name_is_a_known_one():
    assert [name for name in known._described() if not known.is_known(name)] == []


def test_typed_lines_are_checked_for_everybody_who_is_signed_in(client, cast):
    assert client.post("/blueprints/findings", {"config": "sv_altalk 1"}).status_code == 302
    client.force_login(cast.viewer)
    answer = client.post("/blueprints/findings", {"config": "sv_pure 2\nsv_altalk 1\nsay \x07"})
    page = answer.content.decode()
    assert "sv_alltalk" in page and "cannot be saved" in page and "<html" not in page
    assert client.post("/blueprints/findings", {"text": "sv_altalk 1", "path": "cfg/a.cfg"}).content.strip()
    assert not client.post("/blueprints/findings", {"text": "sv_altalk 1", "path": "a.txt"}).content.strip()
    assert not client.post("/blueprints/findings", {"config": "sv_altalk 1\n" * 9999}).content.strip()
    assert client.get("/blueprints/cfg-names?q=sv_allt").json()["names"][0]["name"] == "sv_alltalk"
    assert client.get("/blueprints/cfg-names?q=s").json() == {"names": []}
