"""Checks of a blueprint's arguments and config, line by line. Page, API, admin and import use them.

`check` returns findings. A `refused` one prevents the text from being saved; a `warned` one is advice.
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
