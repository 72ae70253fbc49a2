"""The buttons of cures in answers: what a page offers beside a message, found and pressed as a browser would."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

_BUTTON = re.compile(
    r'<button class="button small"\s+type="submit"\s+form="cure"\s+formaction="([^"]*)"\s+name="operation"\s+'
    r'value="([^"]*)">(.*?)</button>',
    re.DOTALL,
)
_LINK = re.compile(r'<a class="button small" href="([^"]*)">(.*?)</a>', re.DOTALL)


def cures(response: Any) -> dict[str, tuple[str, str]]:
    """The buttons and links of the page by their words: each with its address and its operation."""
    page = response.content.decode()
    found = {_words(inner): (unescape(url), operation) for url, operation, inner in _BUTTON.findall(page)}
    return {_words(inner): (unescape(url), "") for url, inner in _LINK.findall(page)} | found


def press(client: Any, response: Any, words: str) -> Any:
    """Press the button with these words, and follow where it leads."""
    url, operation = cures(response)[words]
    return client.post(url, {"operation": operation}, follow=True) if operation else client.get(url, follow=True)


def _words(inner: str) -> str:
    text = re.sub(r"<span class=\"only-read\">.*?</span>|<[^>]*>", "", inner, flags=re.DOTALL)
    return unescape(text).strip()
