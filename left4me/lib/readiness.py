"""Asks a running web whether the application is ready: `/ready` answers 200, or names the parts that are not."""

from __future__ import annotations

import http.client
import json


def fault(host: str, port: int, *, known_as: str, seconds: float) -> str:
    """Return why `/ready` does not answer 200, in words, or "" when it does.

    `known_as` is a host name that the application accepts, since not every address it listens on is one.
    """
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/ready", headers={"Host": known_as})
        answer = connection.getresponse()
        body = answer.read(65536)
    except (OSError, http.client.HTTPException) as error:
        return f"the web does not answer ({error or type(error).__name__})"
    finally:
        connection.close()
    if answer.status == 200:
        return ""
    return _failed_checks(body) or f"/ready answered {answer.status}"


def _failed_checks(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        return "; ".join(f"{name}: {why}" for name, why in checks.items() if why != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
