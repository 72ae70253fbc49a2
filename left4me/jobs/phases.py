"""The words of pages for the phases and units that jobs report. The API and the log have the reported ones."""

from __future__ import annotations

import re

from django.utils.translation import gettext_lazy

# What "copying “Maps”" names stands for the %s of a phase that may have a name.
_NAMED = re.compile(r"([\w ]+) (“.*”)", re.DOTALL)

PHASES = {
    "starting": gettext_lazy("Starting"),
    "loading the map": gettext_lazy("Loading the map"),
    "ready": gettext_lazy("Ready"),
    "download": gettext_lazy("Downloading"),
    "inspect": gettext_lazy("Checking files"),
    "refresh": gettext_lazy("Checking Steam for updates"),
    "downloading %s": gettext_lazy("Downloading %s"),
    "fetching %s": gettext_lazy("Fetching %s"),
    "web reads %s": gettext_lazy("The web server reads %s"),
    "reading": gettext_lazy("Reading files"),
    "copying": gettext_lazy("Copying"),
    "restoring": gettext_lazy("Restoring"),
    "sending": gettext_lazy("Sending"),
    "receiving": gettext_lazy("Receiving"),
    "installing": gettext_lazy("Installing"),
    "lines": gettext_lazy("Writing lines"),
    # SteamCMD's own
    "updating SteamCMD": gettext_lazy("Updating SteamCMD"),
    "reconfiguring": gettext_lazy("Preparing"),
    "validating": gettext_lazy("Verifying files"),
    "preallocating": gettext_lazy("Reserving disk space"),
    "downloading": gettext_lazy("Downloading"),
    "staging": gettext_lazy("Unpacking"),
    "committing": gettext_lazy("Finishing"),
    "verifying install": gettext_lazy("Verifying files"),
    "verifying update": gettext_lazy("Verifying files"),
    "Action needed: confirm the login in the Steam Mobile app": gettext_lazy(
        "Action needed: confirm the login in the Steam Mobile app"
    ),
}
UNITS = {
    "items": gettext_lazy("items"),
    "files": gettext_lazy("files"),
    "lines": gettext_lazy("lines"),
    "steps": gettext_lazy("steps"),
}


def phase(reported: str) -> str:
    """The phase in the reader's language; one that is not known stays as it was reported."""
    if match := _NAMED.fullmatch(reported):
        words = PHASES.get(f"{match[1]} %s")
        return str(words) % match[2] if words else reported
    return str(PHASES.get(reported, reported))


def unit(reported: str) -> str:
    return str(UNITS.get(reported, reported))


def words() -> dict[str, str]:
    """All phases and units by what is reported, for the script that keeps a progress bar moving."""
    return {reported: str(text) for reported, text in (PHASES | UNITS).items()}
