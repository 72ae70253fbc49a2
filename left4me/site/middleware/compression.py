"""Compression of pages and their parts."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class CompressedPages(GZipMiddleware):
    """Compresses HTML for browsers that accept it.

    Downloads and streams are sent as they are: most are compressed already, and a download shows its size. Django adds
    a random number of bytes, and masks the CSRF token anew in each response, so that their length tells nothing.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)
