"""Plays what SteamCMD printed in real runs, one play per start, and notes how it was called.

Beside it stand `plays.json` (what is left to play) and `calls.jsonl`.
"""

import json
import re
import stat
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).resolve().parent

HELLO = """\
Redirecting stderr to '/home/steam/Steam/logs/stderr.txt'
[  0%] Checking for available updates...
[----] Verifying installation...
Steam Console Client (c) Valve Corporation - version 1733960312
-- type 'quit' to exit --
Loading Steam API...OK

Connecting anonymously to Steam Public...OK
Waiting for client config...OK
Waiting for user info...OK
"""

DOWNLOAD = """\
 Update state (0x3) reconfiguring, progress: 0.00 (0 / 0)
 Update state (0x61) downloading, progress: 3.72 (361235210 / 9710287462)
 Update state (0x61) downloading, progress: 99.53 (9664721304 / 9710287462)
 Update state (0x81) verifying update, progress: 45.10 (4379339645 / 9710287462)
Success! App '222860' fully installed.
"""

MANIFEST = '"AppState"\n{{\n\t"appid"\t\t"222860"\n\t"StateFlags"\t\t"{flags}"\n\t"buildid"\t\t"{build}"\n}}\n'


def main():
    script_file = Path(sys.argv[sys.argv.index("+runscript") + 1])
    script = script_file.read_text()
    plays = json.loads((HERE / "plays.json").read_text())
    play = plays.pop(0)
    note(script, script_file, play)
    (HERE / "plays.json").write_text(json.dumps(plays))
    sys.stdout.write(HELLO)
    for _ in range(play.get("downloads", 0)):
        sys.stdout.write(DOWNLOAD)
    sys.stdout.write(play.get("says", ""))
    sys.stdout.flush()
    if play.get("echo_login"):
        sys.stdout.write(next(line for line in script.splitlines() if line.startswith("login")) + "\n")
    if play.get("build"):
        install(Path(re.search(r'force_install_dir "(.*)"', script).group(1)), play)
    if play.get("hang"):
        time.sleep(600)
    sys.exit(play.get("exit", 0))


def note(script, file, play):
    call = {"argv": sys.argv[1:], "script": script, "mode": stat.S_IMODE(file.stat().st_mode)}
    if "hold" in play:
        call["held"] = (Path(re.search(r'force_install_dir "(.*)"', script).group(1)) / play["hold"]).exists()
    with (HERE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(call) + "\n")


def install(tree, play):
    files = {
        "srcds_run": "#!/bin/sh\n",
        "srcds_linux": "binary " + play["build"],
        "left4dead2/cfg/valve.rc": "stock\n",
        "steamapps/appmanifest_222860.acf": MANIFEST.format(flags=play.get("flags", "4"), build=play["build"]),
    }
    for name, text in files.items():
        if name not in play.get("without", ()):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)


if __name__ == "__main__":
    main()
