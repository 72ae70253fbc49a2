"""Checking a blueprint's arguments and config, line by line, for every door: page, API, admin and import.

`check` answers findings; those that are `refused` keep the text from being saved, the others are advice.
"""

from servers.blueprints.checks.findings import Finding, Severity, check, check_arguments, check_config
from servers.blueprints.checks.grammar import argument_words, config_lines

__all__ = [
    "Finding",
    "Severity",
    "argument_words",
    "check",
    "check_arguments",
    "check_config",
    "config_lines",
]
