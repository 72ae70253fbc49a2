"""The rules of `left4me-firewall.service`, made from deploy/nftables/left4me.nft and the settings.

The unit runs this module as root before the network is up, with the system's Python. Settings that are not understood
are named and replaced by their defaults: without any rules, RCON would be open to everybody.
"""

from __future__ import annotations

import hashlib
import os
import re
import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.language import complain, of_system, say, speak
from deploy.language import gettext as _
from left4me.core import floods
from left4me.core.processes import commands

_TEMPLATE: Final = Path(__file__).resolve().parents[2] / "nftables/left4me.nft"
_PORTS: Final = "27015-27115"
_NFT: Final = "/usr/sbin/nft"
_SECONDS: Final = 30
# Seconds of its rate that an address may use at once, as when a list of servers is refreshed or friends join together.
_REQUESTS_BURST: Final = 6
# The same for a player, whose packets arrive at once after a break of the line, and for all addresses together.
_BURST: Final = 2
_YES, _NO = {"1", "true", "yes", "on", ""}, {"0", "false", "no", "off"}
_LOADED: Final = re.compile(r'^\tcomment "left4me ([0-9a-f]+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Rules:
    """The text for nft, its digest, and the settings that were not understood."""

    text: str
    digest: str
    has_limits: bool
    problems: list[str]


def of(settings: Mapping[str, str]) -> Rules:
    """The rules for the settings of a machine."""
    problems: list[str] = []
    switch = settings.get(floods.SWITCH, "").strip().lower()
    if switch not in _YES | _NO:
        problems.append(
            _("%(name)s=%(value)r is neither true nor false; true is used.") % {"name": floods.SWITCH, "value": switch}
        )
    has_limits = switch not in _NO
    requests, in_all, packets = (
        _number(settings, number, problems) for number in (floods.REQUESTS, floods.REQUESTS_IN_ALL, floods.PACKETS)
    )
    values = {
        "ports": _ports(settings, problems),
        "to_games": "goto games" if has_limits else "accept",
        "to_confirm": "goto confirm" if has_limits else "accept",
        "requests": requests,
        "requests_burst": _REQUESTS_BURST * requests,
        "in_all": in_all,
        "in_all_burst": _BURST * in_all,
        "packets": packets,
        "packets_burst": _BURST * packets,
    }
    template = string.Template(_TEMPLATE.read_text())
    digest = hashlib.sha256(template.substitute(values, digest="").encode()).hexdigest()[:16]
    return Rules(template.substitute(values, digest=digest), digest, has_limits, problems)


def load(rules: Rules) -> None:
    """Put `rules` in the place of those that are loaded, in one step. Raises CommandError."""
    commands.run([_NFT, "-f", "-"], timeout=_SECONDS, stdin=rules.text)


def digest_in(listed: str) -> str:
    """The digest of the rules in a listing by nft; empty for those of an older release."""
    found = _LOADED.search(listed)
    return found[1] if found else ""


def main(arguments: Sequence[str]) -> int:
    """Load the rules for the settings in the environment, or with `--print` print them; returns the exit status."""
    speak(of_system())
    rules = of(os.environ)
    for problem in rules.problems:
        complain(problem)
    if "--print" in arguments:
        say(rules.text)
        return 0
    try:
        load(rules)
    except commands.CommandError as error:
        complain(str(error))
        return 1
    return 0


def _number(settings: Mapping[str, str], number: floods.Number, problems: list[str]) -> int:
    value = settings.get(number.setting, "").strip()
    if not value:
        return number.default
    if re.fullmatch(r"[0-9]{1,9}", value) and number.least <= int(value) <= number.most:
        return int(value)
    problems.append(
        _("%(name)s=%(value)r is no whole number from %(least)d to %(most)d; %(default)d is used.")
        % {"name": number.setting, "value": value, **number.bounds}
    )
    return number.default


def _ports(settings: Mapping[str, str], problems: list[str]) -> str:
    value = settings.get("LEFT4ME_PORTS", "").strip() or _PORTS
    match = re.fullmatch(r"([0-9]{4,5})-([0-9]{4,5})", value)
    if match and 1024 <= int(match[1]) <= int(match[2]) <= 65535:
        return f"{int(match[1])}-{int(match[2])}"
    problems.append(
        _("LEFT4ME_PORTS=%(value)r is no range of ports; %(default)s is used.")
        % {
            "value": value,
            "default": _PORTS,
        }
    )
    return _PORTS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
