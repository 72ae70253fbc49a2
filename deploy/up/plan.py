"""Prints what bin/up must know of the settings, as JSON; a fault in the environment is one sentence and status 78."""

from __future__ import annotations

import json
import sys

from left4me.core.env import Misconfigured

_EX_CONFIG = 78


def main() -> int:
    try:
        from left4me import settings
    except Misconfigured as fault:
        sys.stderr.write(f"left4me: {fault}\n")
        return _EX_CONFIG
    plan = {
        "host": settings.LEFT4ME_BIND.host,
        "port": settings.LEFT4ME_BIND.port,
        "broker_is_ours": not settings.env.text("REDIS_URL"),
    }
    sys.stdout.write(json.dumps(plan) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
