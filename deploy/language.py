"""The language in which deploy/install, left4mectl and the doctor speak to a person: that of the system, or English.

Standard library only: the installer runs before there is a virtual environment. The catalogs are in deploy/locale,
and `bin/messages` keeps them. Translate a text when it is needed, not when a module is loaded.
"""

from __future__ import annotations

import argparse
import gettext as catalogs
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ENGLISH: Final = "en"
# A language as settings of the system begin with it, and the folder of its catalog.
FOLDERS: Final = {"de": "de", "zh": "zh_Hans"}

_LOCALE: Final = Path(__file__).resolve().parent / "locale"
# In the order in which gettext asks for them.
_VARIABLES: Final = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


def gettext_noop(text: str) -> str:
    """Mark a text that is translated where it is used."""
    return text


# What argparse says, which has no catalogs of its own.
_OF_ARGPARSE: Final = (
    gettext_noop("usage: "),
    gettext_noop("options"),
    gettext_noop("positional arguments"),
    gettext_noop("show this help message and exit"),
    gettext_noop("argument %(argument_name)s: %(message)s"),
    gettext_noop("%(prog)s: error: %(message)s\n"),
    gettext_noop("the following arguments are required: %s"),
    gettext_noop("unrecognized arguments: %s"),
    gettext_noop("expected one argument"),
    gettext_noop("not allowed with argument %s"),
    gettext_noop("invalid choice: %(value)r (choose from %(choices)s)"),
)


class _Speaker:
    """The translations in use. English needs none."""

    language = ENGLISH
    translations = catalogs.NullTranslations()


def gettext(text: str) -> str:
    return _Speaker.translations.gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    return _Speaker.translations.ngettext(one, many, count)


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"{text}\n")


def spoken() -> str:
    """The language in use, as a value of LANGUAGE."""
    return _Speaker.language


def speak(language: str) -> None:
    """Use a language from now on; one without a catalog is English. Help and complaints of argparse follow."""
    known = language if language in FOLDERS else ENGLISH
    _Speaker.language = known
    _Speaker.translations = (
        catalogs.NullTranslations()
        if known == ENGLISH
        else catalogs.translation("django", _LOCALE, languages=[FOLDERS[known]], fallback=True)
    )
    # argparse translates by names of its own module, from a catalog that Debian does not have.
    vars(argparse).update(_=gettext, ngettext=ngettext)


def of_system(environ: Mapping[str, str] = os.environ) -> str:
    """The language that the environment asks for. What goes to the journal is in English."""
    if _is_read_from_the_journal(environ):
        return ENGLISH
    wanted = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    return wanted.partition(":")[0].replace("-", "_").partition("_")[0].partition(".")[0].lower() or ENGLISH


def _is_read_from_the_journal(environ: Mapping[str, str]) -> bool:
    """Whether standard error is the journal's: systemd names it, and terminals inherit the name."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
