"""What the worker's unit must leave possible. Run by a copy of that unit, in manage.py's shell; prints a line each."""

import sys
import tempfile
from pathlib import Path

from left4me.core.processes import commands
from overlays.builders import script
from servers.gamehost.systemd import journal, units


def start_and_end_a_server() -> None:
    units.manage("stop", 1)
    assert not units.show_one(1).is_on
    units.manage("start", 1)
    assert units.show_one(1).is_on


def read_its_journal() -> None:
    assert journal.tail(units.name(1), 20)


def build_a_script_overlay() -> None:
    with tempfile.TemporaryDirectory(dir="/var/lib/left4me") as place:
        program = Path(place) / "script"
        program.write_text("id -u > uid\nls /etc/left4me /var/lib/left4me 2>/dev/null > seen || true\n")
        work = Path(place) / "work"
        work.mkdir()
        commands.run(script.sandbox(program=program, work=work), timeout=60)
        assert (work / "uid").read_text() == "1000\n"
        assert (work / "seen").read_text() == ""


def run_32_bit_programs() -> None:
    assert "ld.so" in commands.run(["/lib/ld-linux.so.2", "--version"], timeout=60).output


def mount_an_overlay() -> None:
    argv = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"]
    commands.run(argv, timeout=60)


def touch_nothing_else() -> None:
    for path in (
        "/opt/left4me/current/left4me/probe",
        "/etc/left4me/probe",
        "/usr/probe",
        "/var/backups/left4me/probe",
    ):
        try:
            Path(path).touch()
        except OSError:
            continue
        raise AssertionError(f"{path} can be written")
    restart = ["systemctl", "--no-ask-password", "restart", "left4me-web.service"]
    assert commands.run(restart, timeout=60, check=False).status != 0


failed = False
for probe in (
    start_and_end_a_server,
    read_its_journal,
    build_a_script_overlay,
    run_32_bit_programs,
    mount_an_overlay,
    touch_nothing_else,
):
    try:
        probe()
        sys.stdout.write(f"{probe.__name__}: ok\n")
    except Exception as error:
        failed = True
        sys.stdout.write(f"{probe.__name__}: {type(error).__name__}: {error}\n")
sys.exit(failed)
