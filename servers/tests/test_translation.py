"""What becomes of pasted launch lines: scripts, units, templates of panels, and single lines."""

from __future__ import annotations

import pytest

from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers.blueprints import checks
from servers.blueprints.translation import Translation, translate
from servers.models import Blueprint
from servers.tests.factories import make_blueprint

SCRIPT = r"""#!/bin/bash
MAP=${MAP:-c2m1_highway}
PLAYERS=8
cd /home/games/l4d2 || exit 1
export LD_LIBRARY_PATH=".:bin:$LD_LIBRARY_PATH"
./srcds_run \
    -console -game left4dead2 -port "$PORT" \
    +maxplayers "${PLAYERS}" -tickrate 60 \
    +map "${MAP}" versus >> console.log 2>&1 &
wait $!
"""
UNIT = """[Service]
User=games
ExecStart=/srv/l4d2/srcds_run -game left4dead2 -autorestart +ip 0.0.0.0 +map c2m1_highway
Restart=on-failure
"""
BATCH = """@echo off
set START=c2m1_highway
:again
start /wait C:\\games\\srcds.exe -console -game left4dead2 +map %START% ^
 +hostname "Anna's server"
goto again
"""
GSM = """## https://example.org/start
port="27335"
defaultmap="c2m1_highway"
startparameters="-game left4dead2 -strictportbind -port ${port} +clientport 27005 +map ${defaultmap} -maxplayers 8"
"""


def translated(text: str, config: str = "") -> Translation:
    result = translate(arguments=text, config=config)
    again = translate(arguments=result.arguments, config=result.config)
    assert (again.arguments, again.config, again.notes) == (result.arguments, result.config, [])
    findings = checks.check(arguments=result.arguments, config=result.config)
    assert [finding for finding in findings if finding.severity == checks.Severity.REFUSED] == []
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./srcds_run -game left4dead2 -console -port 27015 +map c2m1_highway", ["+map c2m1_highway"]),
        ("-game left4dead2 -ip 1.2.3.4 -timeout 10 -tickrate 100", ["-tickrate 100"]),
        ("srcds.exe -console -game left4dead2 +hostport 27016 +maxplayers 10", ["+maxplayers 10"]),
        (
            "docker run -d --net=host -p 1:1/udp -e A=b games/l4d2 +map c2m1_highway -maxplayers 8",
            ["+map c2m1_highway", "-maxplayers 8"],
        ),
        ("sudo docker run -it games/l4d2:latest -console -tickrate 60 && echo started", ["-tickrate 60"]),
        ("./srcds_run -game left4dead2 -port {port} +map c2m1_highway -maxplayers {slots}", ["+map c2m1_highway"]),
        ("screen -dmS one ~/l4d2/srcds_run -game left4dead2 +map c1m2_streets", ["+map c1m2_streets"]),
        ("tmux new -d -s x 'cd ~/l4d2 && ./srcds_run -game left4dead2 +map c1m2_streets'", ["+map c1m2_streets"]),
        ('su games -c "/srv/srcds_run -game left4dead2 -map c1m1_hotel"', ["+map c1m1_hotel"]),
        ("nohup ./srcds_run -game left4dead2 +sv_lan 0 > /dev/null 2>&1 &", ["+sv_lan 0"]),
        ("LD_LIBRARY_PATH=.:bin ./srcds_linux -game left4dead2 +sv_lan 0; sleep 5", ["+sv_lan 0"]),
        ('ENTRYPOINT ["/l4d2/srcds_run", "-game left4dead2", "-tickrate", "60"]', ["-tickrate 60"]),
        ('"startup": "./srcds_run -game left4dead2 +hostname \\"My Server\\"",', ['+hostname "My Server"']),
        ("–game left4dead2 +map “c1m1_hotel versus”", ['+map "c1m1_hotel versus"']),
        ('start "" srcds -console -insecure -game left4dead2 +map c8m1_apartment', ["+map c8m1_apartment"]),
        ("map c1m1_hotel\nz_difficulty Hard", ["+map c1m1_hotel", "+z_difficulty Hard"]),
        ("+tickrate 60", ["-tickrate 60"]),
        (SCRIPT, ["+maxplayers 8", "-tickrate 60", "+map c2m1_highway versus"]),
        (UNIT, ["+map c2m1_highway"]),
        (BATCH, ["+map c2m1_highway", '+hostname "Anna\'s server"']),
        (GSM, ["+map c2m1_highway", "-maxplayers 8"]),
        ('// ours\n-tickrate 60\n\n+sv_tags "a b"', ["// ours", "-tickrate 60", "", '+sv_tags "a b"']),
    ],
)
def test_a_launch_line_becomes_one_option_per_line(text: str, expected: list[str]) -> None:
    assert translated(text).arguments.split("\n") == expected


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("-port 27015", "sets the port"),
        ("+ip 1.2.3.4", "every address"),
        ("+clientport 27005", "no client port"),
        ("+tv_port 27020", "assigns a SourceTV port"),
        ("-timeout 10", "restarts crashed games"),
        ("-autoupdate", "updated on the host's page"),
        ("-debug", "Debuggers are not supported"),
        ("-pidfile x.pid", "process itself"),
        ("-insecure", "VAC"),
        ("+exec server.cfg", "at every map"),
        ("+exec left4dead2/cfg/server.cfg", "at every map"),
        ("+map $MAP", "is unknown"),
        ("+map {{SRCDS_MAP}}", "is unknown"),
    ],
)
def test_what_is_taken_out_is_listed_with_the_reason(option: str, words: str) -> None:
    result = translated(f"./srcds_run -tickrate 60 {option}")
    assert result.arguments == "-tickrate 60"
    assert [str(note) for note in result.notes] == [
        f"Line 1: {option}: removed{result.notes[0].message[len(option) + 9 :]}"
    ]
    assert words in result.notes[0].message


def test_a_file_that_is_executed_moves_to_server_cfg() -> None:
    result = translated("./srcds_run +servercfgfile mine.cfg +exec other.cfg", config="sv_pure 2")
    assert (result.arguments, result.config) == ("", "sv_pure 2\nexec mine.cfg\nexec other.cfg")
    assert "moved to server.cfg" in result.notes[0].message


def test_secrets_are_taken_out_and_never_shown() -> None:
    line = "./srcds_run +rcon_password hunter2 +sv_setsteamaccount ABCDEF +sv_lan 0"
    result = translated(line, config='sv_pure 2\nrcon_password "hunter2"\nsv_setsteamaccount ABCDEF')
    assert (result.arguments, result.config) == ("+sv_lan 0", "sv_pure 2")
    assert len(result.notes) == 4
    assert not any("hunter2" in str(note) or "ABCDEF" in str(note) for note in result.notes)


def test_a_command_after_a_semicolon_is_left_out_and_listed() -> None:
    result = translated("+map c1m1_hotel;quit")
    assert result.arguments == "+map c1m1_hotel"
    assert [note.message.split(":")[0] for note in result.notes] == ["quit"]
    result = translated("./srcds_run +map c1m1_hotel; echo done")
    assert [note.message for note in result.notes] == ["Commands that do not start the game were removed."]


def test_of_several_launch_lines_the_first_one_counts() -> None:
    result = translated(
        "./a/srcds_run +map c1m1_hotel\n./a/srcds_run +map c1m1_hotel\n./b/srcds_run +map c2m1_highway"
    )
    assert result.arguments == "+map c1m1_hotel"
    assert "one more launch line" in str(result.notes)


def test_lines_of_a_script_that_only_test_the_program_are_no_launch_lines() -> None:
    script = 'if [ ! -f "./srcds_run" ]; then exit 1; fi\nchmod +x ./srcds_run\n./srcds_run -game left4dead2 +sv_lan 0'
    assert translated(script).arguments == "+sv_lan 0"
    assert [note.message for note in translated("./srcds_run").notes] == ["This launch line contains no options."]


@pytest.mark.django_db
def test_the_form_shows_the_translation_and_the_second_press_saves(cast: Cast, client) -> None:
    client.force_login(cast.owner)
    sent = {
        "name": "Mine",
        "arguments": "./srcds_run -port 27015 +map c1m1_hotel",
        "config": "",
        "connect_ports": "80",
    }
    shown = client.post("/blueprints/new", sent)
    assert shown.status_code == 200 and not Blueprint.objects.exists()
    assert "sets the port" in shown.content.decode()
    form = shown.context["form"]
    assert form["arguments"].value() == "+map c1m1_hotel"
    assert client.post("/blueprints/new", {**sent, "arguments": form["arguments"].value()}).status_code == 302
    assert Blueprint.objects.get().arguments == "+map c1m1_hotel"


@pytest.mark.django_db
def test_the_api_takes_a_launch_line_and_returns_the_notes(cast: Cast, api: Caller) -> None:
    status, answer = api.by(cast.owner).post(
        "/blueprints", {"name": "Mine", "arguments": "./srcds_run -port 27015 +map c1m1_hotel"}
    )
    assert (status, answer["arguments"]) == (201, ["+map c1m1_hotel"])
    assert "sets the port" in answer["notes"][0]["message"]


@pytest.mark.django_db
def test_a_change_of_another_field_leaves_odd_lines_as_they_are(cast: Cast, api: Caller) -> None:
    blueprint = make_blueprint(cast.owner, config="quit", arguments="+map c1m1_hotel -tickrate 60")
    change = {"version": 1, "description": "x"}
    assert api.by(cast.owner).patch(f"/blueprints/{blueprint.pk}", change)[0] == 200
    blueprint.refresh_from_db()
    assert (blueprint.config, blueprint.arguments) == ("quit", "+map c1m1_hotel -tickrate 60")
