"""What pages may load, run and lead to, as the browser enforces it (Content-Security-Policy)."""

from __future__ import annotations

from typing import Final

from csp.constants import NONE, SELF

STEAM_IMAGE_HOSTS: Final = [
    "https://*.steamstatic.com",
    "https://*.steamusercontent.com",
    "https://steamuserimages-a.akamaihd.net",
    "https://steamcdn-a.akamaihd.net",
]
PAGES: Final = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", *STEAM_IMAGE_HOSTS],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
