"""Middleware that adapts responses to htmx, so that views do not have to, and compresses pages and their parts."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.messages import get_messages
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from left4me.core.web import notices
from left4me.site.templatetags.ui import message_tone

GetResponse = Callable[[HttpRequest], HttpResponse]


class HtmxAnswers:
    """Sends messages as toasts, and redirects the whole page to the login page after the session has ended."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.htmx:  # type: ignore[attr-defined]
            return response
        if isinstance(response, HttpResponseRedirect) and _leads_to_login(response):
            return _sign_in_again(request)
        # htmx follows a redirect, and the page behind it shows the messages.
        if not 300 <= response.status_code < 400 and not response.has_header("HX-Redirect"):
            _messages_as_toasts(request, response)
        return response


class CompressedPages(GZipMiddleware):
    """Compresses HTML for browsers that accept it.

    Downloads and streams are sent as they are: most are compressed already, and a download shows its size. Django adds
    a random number of bytes, and masks the CSRF token anew in each response, so that their length tells nothing.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)


def _leads_to_login(response: HttpResponseRedirect) -> bool:
    return urlsplit(response.url).path == resolve_url(settings.LOGIN_URL)


def _sign_in_again(request: HttpRequest) -> HttpResponse:
    # After login, back to the page, not to the fragment that was requested.
    page = urlsplit(request.headers.get("HX-Current-URL", "")).path or "/"
    return HttpResponseClientRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': page})}")


def _messages_as_toasts(request: HttpRequest, response: HttpResponse) -> None:
    toasts = [_toast(each) for each in get_messages(request)]
    if toasts:
        trigger_client_event(response, "toast", {"messages": toasts})


def _toast(message: Message) -> dict[str, object]:
    cure = notices.cure_of(message)
    toast: dict[str, object] = {"text": str(message), "tone": message_tone(message.level_tag)}
    return toast | {"cure": cure.as_json()} if cure else toast
