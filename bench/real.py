"""Read material as it occurs outside of tests, and count what is read correctly.

    bench/real [DIRECTORY] [--verbose]

DIRECTORY holds `archives/`, `launch_lines.txt`, `steamcmd/*.txt` (the exit status in the first line) and
`server_cfg/*.cfg`; what is missing is skipped. Without it, samples of the same shapes are built for the run.
The exit status is 1 if anything was read wrongly.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What stands in an overlay: nothing else is found by the game.
_TOP = frozenset(
    ["left4dead2", "bin", "hl2", "platform", "update", "left4dead2_dlc1", "left4dead2_dlc2", "left4dead2_dlc3"]
)
_LOWER_CASE = frozenset(
    ["addons", "cfg", "maps", "missions", "resource", "scripts", "sourcemod", "metamod", "plugins"]
)
_RESTART = 42  # with which SteamCMD asks to be started again; it says nothing of it
_ANONYMOUS = "Connecting anonymously to Steam Public...OK\nWaiting for user info...OK\n"
_TRANSCRIPTS = {
    "success": f"# made; exit 0\n{_ANONYMOUS}Success! App '222860' fully installed.\n",
    "paused": f"# made; exit 8\n{_ANONYMOUS}Error! App '222860' state is 0x202 after update job.\n",
    "refused": f"# made; exit 8\n{_ANONYMOUS}ERROR! Failed to install app '222860' (Invalid platform)\n",
    "password": "# made; exit 5\nLogging in user 'barney' [U:1:0] to Steam Public...ERROR (Invalid Password)\n",
    "offline": "# made; exit 1\n[----] !!! Fatal Error: Steamcmd needs to be online to update.\n",
}
_CFG_FOLDERS = ("left4dead2/cfg/",)


@dataclass(frozen=True)
class Verdict:
    """One sample: its name, and what was read wrongly (nothing: it is right)."""

    name: str
    faults: list[str]


Judge = Callable[[Path], Iterator[Verdict]]


def archives(folder: Path) -> Iterator[Verdict]:
    """Unpack each archive as an upload would be, and look at every path and every cfg of the result."""
    from overlays.files import archives as reader

    for archive in sorted((folder / "archives").glob("*")):
        if not archive.is_file() or not reader.is_archive(archive.name):
            continue
        with tempfile.TemporaryDirectory(prefix="left4me-real-") as scratch:
            yield Verdict(archive.name, list(_archive_faults(archive, Path(scratch))))


def _archive_faults(archive: Path, scratch: Path) -> Iterator[str]:
    from left4me.core.files.tree import Tree
    from overlays.files import archives as reader

    source = _converted(archive, scratch) if reader.is_convertible(archive) else archive
    root = scratch / "overlay"
    try:
        with Tree(root) as content:
            done = reader.unpack(
                source,
                into=content,
                base=(),
                limits=reader.ArchiveLimits(size=10**10),
                check=lambda: None,
            )
    except reader.BadArchive as reason:
        yield f"refused: {reason}"
        return
    found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    if not found:
        yield "nothing was unpacked"
    if done.plan and len(found) != len(done.plan.placements):
        yield f"{len(done.plan.placements)} files were planned, {len(found)} are there"
    for path in found:
        yield from _path_faults(path)
        if path.startswith(_CFG_FOLDERS) and path.endswith(".cfg"):
            yield from _text_faults(path, (root / path).read_bytes())


def _converted(archive: Path, scratch: Path) -> Path:
    target = scratch / "converted.tar"
    command = ["bsdtar", "--format", "pax", "-cf", str(target), f"@{archive}"]
    subprocess.run(command, check=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
    return target


def _path_faults(path: str) -> Iterator[str]:
    parts = PurePosixPath(path).parts
    if parts[0] not in _TOP or len(parts) < 2:
        yield f"{path} is where the game does not look"
    if any(part != part.lower() and part.lower() in _LOWER_CASE for part in parts[:-1]):
        yield f"{path} has another letter case than the game"
    if "\\" in path:
        yield f"{path} has a separator in a name"
    for character in path:
        # Replacement characters, box drawings, signs and controls are what a wrong code page shows.
        if (
            character == "\ufffd"
            or "\u2500" <= character <= "\u259f"
            or unicodedata.category(character) in ("Cc", "Co", "No", "Sc", "Sk", "Sm")
        ):
            yield f"{path} was read in a wrong code page"
            break


def _text_faults(path: str, raw: bytes) -> Iterator[str]:
    if raw.startswith(b"\xef\xbb\xbf") or b"\0" in raw:
        yield f"{path} cannot be executed by the game"


def transcripts(folder: Path) -> Iterator[Verdict]:
    """Read each transcript of SteamCMD as a job would.

    One is understood when a success is seen as such, and a failure is of a known kind, which decides whether it is
    retried, with SteamCMD's own words and something to do.
    """
    for transcript in sorted((folder / "steamcmd").glob("*.txt")):
        about, *lines = transcript.read_text("utf-8", "replace").splitlines()
        yield Verdict(transcript.name, list(_transcript_faults(about, lines)))


def _transcript_faults(about: str, lines: list[str]) -> Iterator[str]:
    from servers.gamehost.steamcmd.output import APP, Reading, clean
    from servers.gamehost.steamcmd.problems import Kind

    told = re.search(r"exit (-?\d+|None)\s*$", about)
    if told is None:
        yield "the first line holds no exit status"
        return
    status = None if told[1] == "None" else int(told[1])
    reading = Reading()
    # Reports are of many games; the app is ours in all of them.
    output = [re.sub(r"(App) '\d+'", rf"\1 '{APP}'", line, flags=re.IGNORECASE) for line in lines]
    for line in output:
        reading.take(clean(line))
    problem = reading.verdict(status)
    if problem is None:
        if not any("Success!" in line for line in output):
            yield "a failure was taken for a success"
        return
    if status == 0 and any("Success!" in line for line in output[-3:]):
        yield f"a success was taken for a failure: {problem.message}"
    if problem.kind is Kind.UNKNOWN:
        yield f"not understood: {problem.message}"
    if not problem.cure:
        yield "nothing to do is said"
    if not problem.said and status != _RESTART:
        yield "SteamCMD's own words are lost"


def launch_lines(folder: Path) -> Iterator[Verdict]:
    """Translate each launch line as the form does; a file of `launch_lines/` is one text, such as a start script."""
    from servers.blueprints import checks, translation

    lines_file = folder / "launch_lines.txt"
    texts = [(line[:60], line) for line in lines_file.read_text().splitlines()] if lines_file.exists() else []
    texts += [(path.name, path.read_text()) for path in sorted((folder / "launch_lines").glob("*"))]
    for name, text in texts:
        if not text.strip():
            continue
        result = translation.translate(arguments=text, config="")
        findings = checks.check(arguments=result.arguments, config=result.config)
        faults = [str(finding) for finding in findings if finding.severity == checks.Severity.REFUSED]
        if not result.arguments and not result.notes:
            faults.append("nothing was understood")
        if translation.translate(arguments=result.arguments, config=result.config).arguments != result.arguments:
            faults.append("translating twice gives something else")
        yield Verdict(name, faults)


def cfg_lines(folder: Path) -> Iterator[Verdict]:
    """Check each line of each server.cfg. A refusal is wrong; warnings are printed, for a reader to judge."""
    from servers.blueprints import checks, translation

    for path in sorted((folder / "server_cfg").glob("*.cfg")):
        text = _decoded(path.read_bytes())
        config = translation.translate(arguments="", config=text).config
        findings = checks.check(arguments="", config=config)
        faults = {finding.line: str(finding) for finding in findings if finding.severity == checks.Severity.REFUSED}
        for finding in findings:
            if finding.severity == checks.Severity.WARNED:
                print(f"  warning, {path.name}: {finding}")
        for number, _line in enumerate(checks.config_lines(config), start=1):
            yield Verdict(f"{path.name}:{number}", [faults[number]] if number in faults else [])


def _decoded(raw: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("cp1252", "replace")


# The other counts: each a function from the directory to verdicts.
JUDGES: dict[str, Judge] = {
    "archives right": archives,
    "launch lines accepted": launch_lines,
    "cfg lines judged rightly": cfg_lines,
    "transcripts understood": transcripts,
}

_LAUNCH_LINES = """\
./srcds_run -console -game left4dead2 -ip 0.0.0.0 -port 27015 -tickrate 60 +map c2m1_highway +exec server.cfg
start srcds.exe -console -game left4dead2 +hostport 27016 +map "c1m1_hotel coop" +maxplayers 8
screen -dmS one ~/l4d2/srcds_run -game left4dead2 -timeout 10 +tv_enable 1 +tv_port 27020 > /dev/null 2>&1 &
ExecStart=/srv/l4d2/srcds_run -game left4dead2 -autorestart +ip 0.0.0.0 +servercfgfile mine.cfg
./srcds_run -game left4dead2 -port {{SERVER_PORT}} +map {{SRCDS_MAP}} +sv_setsteamaccount {{STEAM_TOKEN}}
"""
_CFG = """\
// our server
hostname "Friday // night
rcon_password "x"\tsv_lan 0
sm_cvar z_common_limit 30; sv_cheats 0
sv_password ""
exec banned_user.cfg
l4d_plugin_setting 1 // a plugin's
"""


def samples(folder: Path) -> Path:
    """Write samples of the repository's own, in the shapes of the real ones."""
    from left4me.testing import archive_shapes

    (folder / "archives").mkdir()
    for name, shape in archive_shapes.SHAPES.items():
        stem = folder / "archives" / name.replace(" ", "_")
        archive_shapes.zipped(shape, stem.with_suffix(".zip"))
        archive_shapes.tarred(shape, stem.with_suffix(".tar.gz"), mode="w:gz")
    (folder / "steamcmd").mkdir()
    for name, text in _TRANSCRIPTS.items():
        (folder / "steamcmd" / f"{name}.txt").write_text(text)
    (folder / "launch_lines.txt").write_text(_LAUNCH_LINES)
    (folder / "server_cfg").mkdir()
    (folder / "server_cfg/server.cfg").write_text(_CFG.replace("\n", "\r\n"))
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/real")
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--verbose", action="store_true", help="name every sample that was read rightly as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="left4me-real-") as scratch:
        os.environ.update(LEFT4ME_ROOT=f"{scratch}/root", DJANGO_SETTINGS_MODULE="left4me.settings")
        import django

        django.setup()
        (samples_folder := Path(scratch) / "samples").mkdir()
        folder = options.directory or samples(samples_folder)
        wrong = 0
        for title, judge in JUDGES.items():
            verdicts = list(judge(folder))
            right = sum(not verdict.faults for verdict in verdicts)
            wrong += len(verdicts) - right
            for verdict in verdicts:
                if verdict.faults or options.verbose:
                    print(f"  {verdict.name}: {'; '.join(verdict.faults[:3]) or 'right'}")
            print(f"{title} {right} of {len(verdicts)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
