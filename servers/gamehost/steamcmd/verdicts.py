"""Finds the problem that a line of SteamCMD's output, or its exit status, stands for.

A verdict comes from a result of the login (`…ERROR (Invalid Password)`), a reason of an installation (`Failed to
install app … (No subscription)`), the state of the app after a job (`state is 0x202`), or a line of the loader or the
shell that started SteamCMD.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, replace
from typing import Final

from servers.gamehost.steamcmd import problems
from servers.gamehost.steamcmd.problems import Kind, Problem, Remedy


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    problem: Problem


def _rule(pattern: str, problem: Problem) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), problem)


_CODE_WANTED: Final = Problem(
    kind=Kind.LOGIN, message="Steam rejected the login: a Steam Guard code is needed", cure=problems.BY_HAND
)

# Results of a login, as words or as the name of Steam's EResult; spaces and hyphens are taken off first.
_LOGIN_RULES: Final = (
    _rule(
        "ratelimit|throttle",
        Problem(
            kind=Kind.RATE_LIMIT,
            message="Steam temporarily rejects logins, because there were too many",
            cure="wait half an hour without any login attempt, then press Retry",
        ),
    ),
    _rule(
        "cachedcredentials|nopromptforpassword",
        Problem(
            kind=Kind.LOGIN,
            message="Steam rejected the login: no password is set, and SteamCMD has no saved login of this account",
            cure=f"set {problems.ACCOUNT}, or {problems.BY_HAND}",
        ),
    ),
    _rule(
        "mismatch|invalidloginauthcode|expiredloginauthcode|invalidauthcode",
        Problem(
            kind=Kind.LOGIN,
            message="Steam rejected the login: the Steam Guard code is wrong or expired",
            cure=f"{problems.BY_HAND}. Use a new code, and check this machine's clock",
        ),
    ),
    _rule(
        "twofactor|logindenied",
        _CODE_WANTED,
    ),
    _rule(
        "logondenied|verifiedemail",
        Problem(
            kind=Kind.LOGIN,
            message="Steam rejected the login: Steam Guard needs the code that it sent by e-mail",
            cure=problems.BY_HAND,
        ),
    ),
    _rule(
        "password|accountnotfound|illegalpassword",
        Problem(
            kind=Kind.LOGIN,
            message="Steam rejected the login: wrong account name or password",
            cure=f"correct {problems.ACCOUNT}, restart left4me, then press Retry",
        ),
    ),
    _rule(
        "licen[cs]e|subscription|expired|revoked",
        Problem(
            kind=Kind.LICENCE,
            message="Steam rejected the login: a licence of the account has expired or is missing",
            cure=problems.NO_LICENCE.cure,
        ),
    ),
    _rule(
        "banned|disabled|locked",
        Problem(
            kind=Kind.LOGIN,
            message="Steam rejected the login: the account or this machine's address is banned or disabled",
            cure=f"use another account in {problems.ACCOUNT}, or contact Steam Support",
        ),
    ),
    _rule("noconnection|connect|handshake|remotedisconnect|offline", problems.NO_CONNECTION),
    _rule("unavailable|tryanothercm|busy|readonly|remotecallfailed|limitexceeded|pending", problems.STEAM_BUSY),
    _rule("time(d)?out", problems.TIMED_OUT),
    _rule(
        "loggedin|sessionreplaced|elsewhere|inuse",
        Problem(
            kind=Kind.LOGIN,
            message="the Steam account is in use elsewhere",
            cure="sign out there, or use a separate account for the server, then press Retry",
            retry=True,
        ),
    ),
    _rule("diskfull", problems.FULL),
)

# Numbers that older versions print in place of the words.
_RESULTS: Final = {
    2: "Fail",
    3: "No Connection",
    5: "Invalid Password",
    6: "Logged In Elsewhere",
    10: "Busy",
    15: "Access Denied",
    16: "Timeout",
    17: "Banned",
    18: "Account Not Found",
    20: "Service Unavailable",
    35: "Connect Failed",
    36: "Handshake Failed",
    38: "Remote Disconnect",
    43: "Account Disabled",
    48: "Try another CM",
    50: "Already Logged In Elsewhere",
    54: "Disk Full",
    63: "Account Logon Denied",
    65: "Invalid Login Auth Code",
    71: "Expired Login Auth Code",
    73: "Account Locked Down",
    74: "Account Logon Denied Verified Email Required",
    84: "Rate Limit Exceeded",
    85: "Account Login Denied Need Two-Factor Code",
    87: "Account Login Denied Throttle",
    88: "Two-factor code mismatch",
    105: "IP Banned",
}

# Reasons in `Failed to install app '222860' (…)`.
_APP_RULES: Final = (
    _rule(
        "missing config|invalid (application|content|depot) config|no depots?",
        problems.CONFIGURATION,
    ),
    _rule(
        "invalid platform",
        Problem(
            kind=Kind.PLATFORM,
            message="Steam does not offer the Linux version to this login",
            cure=problems.OWNER,
            retry=True,
        ),
    ),
    _rule(
        "subscription|licen[cs]e|purchase|region|not released|parental|family|shar(ed|ing) library",
        problems.NO_LICENCE,
    ),
    _rule(
        "disk space|disk quota|disk full|enough space|no space",
        problems.FULL,
    ),
    _rule(
        "disk (write|read)|permission|access denied|install path|invalid path|read.?only|file ?system|file locked",
        problems.NOT_WRITTEN,
    ),
    _rule("time(d)? ?out", problems.TIMED_OUT),
    _rule("content server", replace(problems.STEAM_BUSY, message="no Steam content server responds")),
    _rule("connection|download fail|offline|network|not online", problems.NO_CONNECTION),
    _rule("unavailable|busy|rate limit|too many|try another", problems.STEAM_BUSY),
    _rule("corrupt|missing|encrypted|manifest|signature|depot|content", problems.DAMAGED),
    _rule(
        "running|locked|in use",
        Problem(
            kind=Kind.FILES,
            message="SteamCMD reports that another program uses these files",
            cure="stop other SteamCMD processes on this machine, then press Retry",
            retry=True,
            remedy=Remedy.FORGET_MANIFEST,
        ),
    ),
    _rule(
        "cancel|suspend|paused|interrupt|stopped",
        Problem(kind=Kind.PROGRAM, message="SteamCMD interrupted the installation", cure=problems.AGAIN, retry=True),
    ),
    _rule(
        "password",
        Problem(
            kind=Kind.LICENCE,
            message="this branch of the game needs a password",
            cure="remove the branch, then press Retry",
        ),
    ),
)

NOT_INSTALLED: Final = Problem(
    kind=Kind.MACHINE,
    message="SteamCMD was not found",
    cure="delete LEFT4ME_ROOT/steamcmd and press Retry to download it again, "
    "or run `apt-get install steamcmd` (contrib, non-free)",
)
_NO_LOADER: Final = Problem(
    kind=Kind.MACHINE,
    message="SteamCMD cannot start: the 32-bit libraries are missing",
    cure=problems.LIBRARIES,
)
_NO_SSE: Final = Problem(
    kind=Kind.MACHINE,
    message="SteamCMD does not run on this processor, probably because it or its virtual machine lacks SSE",
    cure="set the virtual machine's CPU type to `host-passthrough`, or use another machine",
)
_NOT_EXECUTABLE: Final = Problem(
    kind=Kind.MACHINE,
    message="SteamCMD is not executable",
    cure="mount the disk of LEFT4ME_ROOT without `noexec`, make left4me's user its owner, then press Retry",
)
_NO_MEMORY: Final = Problem(
    kind=Kind.MACHINE,
    message="SteamCMD ran out of memory or threads",
    cure="free memory, or raise the limits of the worker's service (MemoryMax, TasksMax), then press Retry",
    retry=True,
)

# Lines of the loader, the shell, SteamCMD's own update, and of its commands.
_LINE_RULES: Final = (
    _rule(
        r"needs (at least )?\d+ ?MB of (free )?disk space",
        Problem(
            kind=Kind.DISK,
            message="SteamCMD has no space for its own update: the disk is probably full",
            cure="free some hundred megabytes for LEFT4ME_ROOT, then press Retry. Otherwise, check for quotas, "
            "a directory that left4me's user cannot write to, or a file system of many terabytes, whose size a 32-bit "
            "program cannot read",
        ),
    ),
    _rule(
        "needs to be online to update|couldn'?t connect to server|Download failed: http error", problems.NO_CONNECTION
    ),
    _rule(r"AppInfo.*(timed out|time ?out|returned error)|timed out waiting for AppInfo", problems.TIMED_OUT),
    _rule("timed out waiting for update to start", problems.TIMED_OUT),
    _rule(
        r"confirmation.*(timed out|timeout|denied|rejected)|timed out waiting for confirmation", problems.NOT_CONFIRMED
    ),
    _rule(
        r"linux32/steamcmd: (No such file or directory|cannot execute: required file not found)",
        _NO_LOADER,
    ),
    _rule(
        r"error while loading shared libraries|wrong ELF class|version `\S+' not found",
        Problem(
            kind=Kind.MACHINE, message="SteamCMD cannot start: a 32-bit library is missing", cure=problems.LIBRARIES
        ),
    ),
    _rule(
        "exec format error|cannot execute binary file",
        Problem(
            kind=Kind.MACHINE,
            message="this machine cannot run SteamCMD, a 32-bit program for Intel and AMD processors",
            cure="use such a machine, with a kernel that runs 32-bit programs (CONFIG_IA32_EMULATION)",
        ),
    ),
    _rule(
        r"illegal instruction|\bS?SSE\d?\b|processor (does|is) not support|CPU.*(not support|unsupported|required)",
        _NO_SSE,
    ),
    _rule(
        r"steamcmd(\.sh)?: (command )?not found|steamcmd(\.sh)?: No such file",
        NOT_INSTALLED,
    ),
    _rule(
        r"steamcmd(\.sh)?: Permission denied",
        _NOT_EXECUTABLE,
    ),
    _rule(r"segmentation fault|bus error|aborted \(core|fatal assert|trace/breakpoint trap", problems.CRASHED),
    _rule(
        r"thread failed to initialize|thread creation failed|pthread_create failed|cannot allocate memory"
        r"|out of memory|\bKilled\b.*steamcmd|\bKilled\s+\$DEBUGGER|fork: Resource",
        _NO_MEMORY,
    ),
    _rule(
        r"no space left on device|disk quota exceeded",
        problems.FULL,
    ),
    _rule(
        r"read-only file system|cannot create directory.*(permission denied|read-only)|unable to (write|create)",
        replace(problems.NOT_WRITTEN, message="SteamCMD cannot write to its home directory", retry=False),
    ),
    _rule(
        "command not found: ",
        Problem(
            kind=Kind.PROGRAM,
            message="SteamCMD does not know a command that left4me uses",
            cure="press Retry. If it fails again, update left4me, or report this line to its developers",
            retry=True,
        ),
    ),
    _rule(r"(Steam Guard|Two-factor) code:\s*$", _CODE_WANTED),
    _rule(
        r"could ?n[o']t resolve host|failure in name resolution|network is unreachable|no route to host",
        problems.NO_CONNECTION,
    ),
    _rule(r"HTTP (error|status):? ?[45]\d\d", problems.STEAM_BUSY),
    _rule(r"Loading Steam API\.\.\.(FAILED|ERROR)", problems.CRASHED),
    _rule("not online or not logged in|not logged on|must be logged (in|on)", problems.NO_CONNECTION),
)
# These follow from an earlier failure, and are the verdict only where there is no other.
_CONSEQUENCES: Final = re.compile(r"not online or not logged in|not logged on|must be logged (in|on)", re.IGNORECASE)

_APP_STATE: Final = re.compile(r"Error! (?:App '\d+' )?state is (?:is )?(0x[0-9a-f]+)", re.IGNORECASE)
_APP_FAILED: Final = re.compile(r"Failed to (?:install|update)(?: app)?(?: '\d+')?\s*\((.*)\)", re.IGNORECASE)
_LOGIN_RESULTS: Final = (
    re.compile(r"FAILED login with result code\s*(.+)", re.IGNORECASE),
    re.compile(r"FAILED with result code\s*(\d+)", re.IGNORECASE),
    re.compile(r"Login Failure:\s*(.+)", re.IGNORECASE),
    re.compile(r"(?:ERROR|FAILED)\s*\(([^()]+)\)"),
    re.compile(r"\bFAILED\.\s*(Timed out)", re.IGNORECASE),
    re.compile(r"to Steam \w+\s*\.\.\.\s*(?:ERROR|FAILED)[: ]*(.+)", re.IGNORECASE),
)
_MISSING_APP: Final = re.compile(r"missing required app (\d+)", re.IGNORECASE)


def of_line(line: str) -> Problem | None:
    """The verdict of one line of output; None if the line reports no failure."""
    if match := _APP_STATE.search(line):
        return replace(problems.of_state(match.group(1)), said=line)
    if match := _APP_FAILED.search(line):
        return replace(_of_reason(match.group(1)), said=line)
    for rule in _LINE_RULES:
        if rule.pattern.search(line):
            return replace(rule.problem, said=line)
    for pattern in _LOGIN_RESULTS:
        if match := pattern.search(line):
            return replace(_of_login(match.group(1).strip()), said=line)
    if re.search(r"\bfatal error\b|^error!", line, re.IGNORECASE):
        return replace(problems.unknown("SteamCMD reported an unknown error"), said=line)
    return None


def is_consequence(line: str) -> bool:
    """Whether the line only reports that an earlier step failed."""
    return bool(_CONSEQUENCES.search(line))


def of_exit(status: int) -> Problem | None:
    """The verdict of an exit status where no line told more; None for 0."""
    if status == 0:
        return None
    known = _EXITS.get(128 - status if status < 0 else status)
    return known or problems.unknown(f"SteamCMD exited with status {status}")


def is_crash(status: int) -> bool:
    """Whether a signal of its own fault ended the program, as seen by the shell or directly."""
    return (128 - status if status < 0 else status) in _CRASHES


def with_hint(problem: Problem, line: str) -> Problem:
    """The problem with the cause that an earlier line of the output tells."""
    if match := _MISSING_APP.search(line):
        message = f"Steam requires app {match.group(1)}, which is not available to this login"
        return replace(problem, kind=Kind.LICENCE, message=message, cure=problems.OWNER, retry=False)
    return problem


def is_hint(line: str) -> bool:
    return bool(_MISSING_APP.search(line))


def _of_reason(reason: str) -> Problem:
    for rule in _APP_RULES:
        if rule.pattern.search(reason):
            return rule.problem
    return problems.unknown(f"Steam rejected the installation: {reason}")


def _of_login(result: str) -> Problem:
    if re.fullmatch("[0-9]{1,6}", result):
        result = _RESULTS.get(int(result), f"result code {result}")
    folded = re.sub(r"[^a-z]", "", result.lower())
    for rule in _LOGIN_RULES:
        if rule.pattern.search(folded):
            return rule.problem
    return problems.unknown(f"Steam rejected the login: {result}")


_CRASHES: Final = {128 + number for number in (signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)}
_EXITS: Final = {
    1: replace(problems.TIMED_OUT, message="SteamCMD gave up, probably because Steam did not respond"),
    5: Problem(
        kind=Kind.LOGIN, message="Steam rejected the login", cure=f"check {problems.ACCOUNT}, then press Retry"
    ),
    8: replace(problems.unknown("Steam rejected the installation"), kind=Kind.STEAM),
    42: problems.SELF_UPDATE,
    126: _NOT_EXECUTABLE,
    127: _NO_LOADER,
    132: _NO_SSE,
    137: _NO_MEMORY,
}
