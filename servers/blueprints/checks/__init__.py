"""Checks of a blueprint's arguments and config, line by line. Page, API, admin and import use them.

`check` returns findings. A `refused` one prevents the text from being saved, a `warned` one names a probable mistake,
and a `noted` one says what left4me does with the line.
"""

from servers.blueprints.checks.findings import Files, Finding, Severity, check, check_arguments, check_config, left_out
from servers.blueprints.checks.grammar import argument_options, argument_words, config_lines, parse

__all__ = [
    "Files",
    "Finding",
    "Severity",
    "argument_options",
    "argument_words",
    "check",
    "check_arguments",
    "check_config",
    "config_lines",
    "left_out",
    "parse",
]
