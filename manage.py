#!/usr/bin/env python3
"""Django's command line for left4me."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
    from django.core.management import execute_from_command_line

    from left4me.core.env import Misconfigured

    try:
        execute_from_command_line(sys.argv)
    except Misconfigured as fault:
        sys.exit(f"left4me: {fault}")


if __name__ == "__main__":
    main()
