"""What SteamCMD prints in public reports, in the same shapes, and what each of it means."""

from __future__ import annotations

import pytest

from servers.gamehost.steamcmd.output import Reading, clean
from servers.gamehost.steamcmd.problems import Kind

HELLO = """\
Redirecting stderr to '/srv/l4d2/Steam/logs/stderr.txt'
Logging directory: '/srv/l4d2/Steam/logs'
[  0%] Checking for available updates...
[----] Verifying installation...
UpdateUI: skip show logo
Steam Console Client (c) Valve Corporation - version 1761000000
-- type 'quit' to exit --
Loading Steam API...OK
"""
ANONYMOUS = (
    HELLO
    + """
Connecting anonymously to Steam Public...OK
Waiting for client config...OK
Waiting for user info...OK
"""
)
LOGIN = HELLO + "Proceeding with login using username/password.\nLogging in user 'barney' [U:1:0] to Steam Public..."
GUARDED = (
    LOGIN
    + """This account is protected by a Steam Guard mobile authenticator.
Please confirm the login in the Steam Mobile app on your phone.

Waiting for confirmation..."""
)
SHELL = "/opt/l4d2/steamcmd/steamcmd.sh: line 39: "


def read(output: str) -> Reading:
    reading = Reading()
    for line in output.splitlines():
        reading.take(clean(line))
    return reading


def state(flags: str) -> str:
    progress = " Update state (0x61) downloading, progress: 1.00 (1 / 99)\n"
    return f"{ANONYMOUS}{progress}Error! App '222860' state is {flags} after update job.\n"


def failed(reason: str) -> str:
    return f"{ANONYMOUS}ERROR! Failed to install app '222860' ({reason})\nUnloading Steam API...OK\n"


LOGINS = [
    ("ERROR (Invalid Password)", Kind.LOGIN, False, "wrong account name or password"),
    ("FAILED (Invalid Password)", Kind.LOGIN, False, "wrong account name or password"),
    ("FAILED login with result code Invalid Password", Kind.LOGIN, False, "wrong account name or password"),
    ("\nLogin Failure: Invalid Password", Kind.LOGIN, False, "wrong account name or password"),
    ("\nFAILED with result code 5", Kind.LOGIN, False, "wrong account name or password"),
    ("ERROR (Rate Limit Exceeded)", Kind.RATE_LIMIT, False, "half an hour"),
    ("FAILED with result code 84", Kind.RATE_LIMIT, False, "half an hour"),
    ("ERROR (Account Login Denied Throttle)", Kind.RATE_LIMIT, False, "half an hour"),
    ("ERROR (Two-factor code mismatch)", Kind.LOGIN, False, "code is wrong or expired"),
    ("\nLogin Failure: Invalid Login Auth Code", Kind.LOGIN, False, "code is wrong or expired"),
    ("ERROR (Account Logon Denied)", Kind.LOGIN, False, "sent by e-mail"),
    ("FAILED login with result code RequireTwoFactorCode", Kind.LOGIN, False, "a Steam Guard code is needed"),
    ("\nFAILED with result code 85", Kind.LOGIN, False, "a Steam Guard code is needed"),
    ("ERROR (License Expired)", Kind.LICENCE, False, "licence"),
    ("ERROR (Account Disabled)", Kind.LOGIN, False, "banned or disabled"),
    ("ERROR (Logged In Elsewhere)", Kind.LOGIN, True, "in use elsewhere"),
    ("Retrying...\nRetrying...\nERROR (No Connection)", Kind.NETWORK, True, "no connection to Steam"),
    ("FAILED (Timeout)", Kind.NETWORK, True, "did not respond in time"),
    ("FAILED login with result code Service Unavailable", Kind.STEAM, True, "busy or down"),
    ("ERROR (Service Unavailable)", Kind.STEAM, True, "busy or down"),
    ("FAILED (Try another CM)", Kind.STEAM, True, "busy or down"),
    ("OK\nWaiting for client config...OK\nWaiting for user info...FAILED (Timed out)", Kind.NETWORK, True, "in time"),
    ("Logged in OK\nWaiting for user info...FAILED. Timed out.", Kind.NETWORK, True, "in time"),
    ("FAILED (No cached credentials and @NoPromptForPassword is set)", Kind.LOGIN, False, "no password is set"),
    ("\nSteam Guard code:", Kind.LOGIN, False, "a Steam Guard code is needed"),
    ("ERROR (Sunspots)", Kind.UNKNOWN, True, "Sunspots"),
]


@pytest.mark.parametrize(("result", "kind", "retry", "words"), LOGINS)
def test_a_refused_login_is_understood(result: str, kind: Kind, retry: bool, words: str) -> None:
    problem = read(LOGIN + result + "\n").verdict(5)
    assert problem is not None
    assert (problem.kind, problem.retry) == (kind, retry)
    assert words in str(problem)
    assert problem.said in result or problem.said.endswith(result)


@pytest.mark.parametrize(
    ("output", "kind", "retry", "words"),
    [
        (state("0x202"), Kind.DISK, False, "probably the disk is full; less often a required app"),
        (state("0x212"), Kind.DISK, False, "probably the disk is full"),
        (state("0x206"), Kind.DISK, True, "probably the disk is full"),
        (state("0x402"), Kind.NETWORK, True, "probably the connection to Steam was lost"),
        (state("0x602"), Kind.NETWORK, True, "probably the connection to Steam was lost"),
        (state("0x606"), Kind.FILES, True, "could not be written, or the connection"),
        (state("0x626"), Kind.FILES, True, "missing"),
        (state("0x6A6"), Kind.FILES, True, "damaged"),
        (state("0x6"), Kind.FILES, True, "manifest of the installation is outdated"),
        (state("0xE"), Kind.FILES, True, "manifest of the installation is outdated"),
        (state("0x10E"), Kind.NETWORK, True, "0x10E"),
        (state("0x10502"), Kind.NETWORK, True, "0x10502"),
        (state("0x800"), Kind.UNKNOWN, True, "0x800"),
        (state("0x402").replace(" App '222860'", "").replace("state", "State"), Kind.NETWORK, True, "0x402"),
    ],
)
def test_the_state_an_update_ends_in_is_understood(output: str, kind: Kind, retry: bool, words: str) -> None:
    problem = read(output).verdict(8)
    assert problem is not None
    assert (problem.kind, problem.retry) == (kind, retry)
    assert words in str(problem)


@pytest.mark.parametrize(
    ("reason", "kind", "retry"),
    [
        ("Missing configuration", Kind.PLATFORM, True),
        ("Invalid platform", Kind.PLATFORM, True),
        ("No subscription", Kind.LICENCE, False),
        ("No licenses", Kind.LICENCE, False),
        ("Disk write failure", Kind.FILES, True),
        ("Missing file permissions", Kind.FILES, True),
        ("Not enough disk space", Kind.DISK, False),
        ("Timeout", Kind.NETWORK, True),
        ("No connection", Kind.NETWORK, True),
        ("Content servers unreachable", Kind.STEAM, True),
        ("Corrupt update files", Kind.FILES, True),
        ("Missing update files", Kind.FILES, True),
        ("Content still encrypted", Kind.FILES, True),
        ("App running", Kind.FILES, True),
        ("Suspended", Kind.PROGRAM, True),
        ("Solar eclipse", Kind.UNKNOWN, True),
    ],
)
def test_the_reason_of_a_refused_installation_is_understood(reason: str, kind: Kind, retry: bool) -> None:
    problem = read(failed(reason)).verdict(8)
    assert problem is not None
    assert (problem.kind, problem.retry) == (kind, retry)
    assert reason in problem.said


@pytest.mark.parametrize(
    ("output", "status", "kind", "retry", "words"),
    [
        (
            "[----] !!! Fatal Error: Steamcmd needs 250MB of free disk space to update.",
            1,
            Kind.DISK,
            False,
            "no space",
        ),
        (
            "[  0%] !!! Fatal Error: Steamcmd needs to be online to update. Please confirm your network connection",
            1,
            Kind.NETWORK,
            True,
            "no connection",
        ),
        ("SteamUpdater: Error: Steam needs to be online to update.", 7, Kind.NETWORK, True, "no connection"),
        (SHELL + "  71 Segmentation fault      (core dumped) $DEBUGGER", 139, Kind.CRASH, True, "crashed"),
        ("", 139, Kind.CRASH, True, "status 139"),
        ("", -11, Kind.CRASH, True, "crashed"),
        (SHELL + "  71 Illegal instruction     $DEBUGGER", 132, Kind.MACHINE, False, "processor"),
        ("Fatal: this program requires a CPU with SSE2", 1, Kind.MACHINE, False, "processor"),
        (SHELL + "  71 Killed                  $DEBUGGER", 137, Kind.MACHINE, True, "out of memory"),
        (SHELL + "/x/linux32/steamcmd: No such file or directory", 127, Kind.MACHINE, False, "lib32z1"),
        (
            SHELL + "/x/linux32/steamcmd: cannot execute: required file not found",
            127,
            Kind.MACHINE,
            False,
            "lib32gcc-s1",
        ),
        (
            SHELL + "/x/linux32/steamcmd: cannot execute binary file: Exec format error",
            126,
            Kind.MACHINE,
            False,
            "Intel",
        ),
        (
            "linux32/steamcmd: error while loading shared libraries: libstdc++.so.6: cannot open shared object file",
            127,
            Kind.MACHINE,
            False,
            "lib32stdc++6",
        ),
        ("bash: steamcmd: command not found", 127, Kind.MACHINE, False, "was not found"),
        ("ERROR! Timed out waiting for AppInfo update.", 1, Kind.NETWORK, True, "in time"),
        ("ERROR! AppInfo request for AppId 222860 returned error 16.", 8, Kind.NETWORK, True, "in time"),
        ("mkdir: cannot create directory '/nonexistent': Permission denied", 1, Kind.FILES, False, "home directory"),
        (
            "Thread failed to initialize\nCWorkThreadPool::StartWorkThread: Thread creation failed.",
            1,
            Kind.MACHINE,
            True,
            "memory or threads",
        ),
        ("curl: (6) Could not resolve host: steamcdn-a.akamaihd.net", 6, Kind.NETWORK, True, "no connection"),
        ("Failed to download update: HTTP error 503", 1, Kind.STEAM, True, "busy or down"),
        ("Command not found: app_updte", 0, Kind.PROGRAM, True, "does not know a command"),
    ],
)
def test_what_keeps_it_from_running_is_understood(
    output: str, status: int, kind: Kind, retry: bool, words: str
) -> None:
    problem = read(output).verdict(status)
    assert problem is not None
    assert (problem.kind, problem.retry) == (kind, retry)
    assert words in str(problem)


@pytest.mark.parametrize(
    ("status", "kind", "retry", "words"),
    [
        (1, Kind.NETWORK, True, "did not respond"),
        (5, Kind.LOGIN, False, "rejected the login"),
        (8, Kind.STEAM, True, "rejected the installation"),
        (42, Kind.SELF_UPDATE, True, "updat"),
        (126, Kind.MACHINE, False, "not executable"),
        (127, Kind.MACHINE, False, "libraries are missing"),
        (132, Kind.MACHINE, False, "processor"),
        (137, Kind.MACHINE, True, "out of memory"),
        (-9, Kind.MACHINE, True, "out of memory"),
        (77, Kind.UNKNOWN, True, "status 77"),
    ],
)
def test_a_status_alone_tells_what_it_can(status: int, kind: Kind, retry: bool, words: str) -> None:
    problem = read("").verdict(status)
    assert problem is not None
    assert (problem.kind, problem.retry) == (kind, retry)
    assert words in problem.message


def test_warnings_of_healthy_sessions_are_no_problem() -> None:
    warnings = (
        "Unable to determine CPU Frequency. Try defining CPU_MHZ.\n"
        "WARNING: setlocale('en_US.UTF-8') failed, using locale: 'C'.\n"
        "steamcmd.sh: line 32: ulimit: open files: cannot modify limit: Operation not permitted\n"
        'ILocalize::AddFile() failed to load file "public/steambootstrapper_english.txt".\n'
        "dlmopen steamservice.so failed: steamservice.so: cannot open shared object file: No such file or directory\n"
    )
    for success in ("fully installed.", "already up to date."):
        output = (
            warnings + ANONYMOUS + f"Please use force_install_dir before logon!\nSuccess! App '222860' {success}\n"
        )
        assert read(output).verdict(0) is None


def test_a_warning_after_a_failure_does_not_hide_it() -> None:
    output = state("0x202") + "Please use force_install_dir before logon!\nCWorkThreadPool: queue not empty\n"
    problem = read(output).verdict(8)
    assert problem is not None and problem.kind is Kind.DISK


def test_a_consequence_does_not_hide_its_cause() -> None:
    after = "\nERROR! Failed to request AppInfo update, not online or not logged in to Steam.\n"
    problem = read(LOGIN + "ERROR (Invalid Password)" + after).verdict(5)
    assert problem is not None and "password" in problem.message
    problem = read(HELLO + after).verdict(8)
    assert problem is not None and problem.kind is Kind.NETWORK


def test_a_required_app_that_is_missing_is_named() -> None:
    hint = "src/x.cpp (9) : Assertion Failed: BStartUpdateDepotsJob: 222860 missing required app 228980\n"
    problem = read(hint + state("0x202")).verdict(8)
    assert problem is not None and "app 228980" in problem.message and not problem.retry


def test_an_error_before_the_success_is_forgotten() -> None:
    assert read(state("0x602") + "Success! App '222860' fully installed.\n").verdict(0) is None


def test_only_the_success_of_the_game_counts() -> None:
    problem = read(ANONYMOUS + "Success! App '228980' fully installed.\n").verdict(0)
    assert problem is not None and problem.retry and "without reporting" in problem.message


def test_a_login_that_waits_for_the_phone_is_told_until_it_is_confirmed() -> None:
    waiting = read(GUARDED)
    assert waiting.waits_for_confirmation
    problem = waiting.verdict(None)
    assert problem is not None and problem.kind is Kind.CONFIRMATION
    assert not read(GUARDED + "OK\nWaiting for client config...OK\n").waits_for_confirmation
    for late in (
        "Wait for confirmation timed out.Timed out waiting for confirmation.\nERROR (Timeout)",
        "ERROR (Timeout)",
    ):
        problem = read(GUARDED + "\n" + late).verdict(5)
        assert problem is not None and problem.kind is Kind.CONFIRMATION


def test_an_unknown_end_shows_the_last_words_and_a_cure() -> None:
    output = ANONYMOUS + "Frobnicating depot\nThe flux capacitor cannot be aligned\nUnloading Steam API...OK\n"
    problem = read(output).verdict(77)
    assert problem is not None and problem.kind is Kind.UNKNOWN and problem.retry
    assert problem.said == "The flux capacitor cannot be aligned"
    happened, said, cure = str(problem).splitlines()
    assert happened == "SteamCMD exited with status 77."
    assert "flux capacitor" in said
    assert "Retry" in cure


def test_silence_shows_the_last_words() -> None:
    problem = read(ANONYMOUS + "Frobnicating depot\n").verdict(None)
    assert problem is not None and problem.retry and problem.said == "Frobnicating depot"
