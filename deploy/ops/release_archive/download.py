"""Downloads over https: a large one resumes where it ended, also in the next run; a small one is read at once."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urljoin, urlsplit

from deploy.language import gettext as _
from deploy.ops.progress import Progress, readable_size
from deploy.ops.release_archive.contents import BadPackage

MOST_BYTES: Final = 512 * 1024**2
_MOST_SMALL: Final = 1024**2
_SECONDS: Final = 30.0
_CHUNK: Final = 256 * 1024
# Seconds between the tries of one run.
_PAUSES: Final = (1.0, 3.0, 10.0)
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but to no address that others on the way could answer for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        refuse_other_schemes(urljoin(req.full_url, newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def refuse_other_schemes(address: str) -> None:
    """Raises BadPackage unless the address is one of https."""
    if urlsplit(address).scheme != "https":
        raise BadPackage(_("“%(address)s” is no https address. Releases come over https only.") % {"address": address})


def small(address: str) -> bytes | None:
    """The content at an address; None when there is nothing. Raises BadPackage."""
    try:
        with _open(address) as answer:
            return bytes(answer.read(_MOST_SMALL))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            return None
        raise _failed(address, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _failed(address, error) from error


def to_file(address: str, part: Path, *, progress: Progress) -> None:
    """Fetch all of an address into `part`, beginning behind what that has already. Raises BadPackage."""
    for pause in (*_PAUSES, None):
        try:
            if _fetch(address, part, progress):
                return
            fault: Exception = http.client.IncompleteRead(b"")
        except urllib.error.HTTPError as error:
            error.close()
            fault = error
            if error.code == 416:  # nothing behind what is there: it is whole, or of another file
                part.unlink(missing_ok=True)
            elif error.code < 500:
                break
        except (OSError, http.client.HTTPException) as error:
            fault = error
        if pause is not None:
            time.sleep(pause)
    raise _failed(address, fault, part) from fault


def _fetch(address: str, part: Path, progress: Progress) -> bool:
    """Fetch what `part` lacks; returns whether it is whole then."""
    have = part.stat().st_size if part.exists() else 0
    with _open(address, {"Range": f"bytes={have}-"} if have else {}) as answer:
        resumed = _RANGE.fullmatch(answer.headers.get("Content-Range") or "") if answer.status == 206 else None
        if resumed is None or int(resumed[1]) != have:
            have, total = 0, int(answer.headers.get("Content-Length") or 0)
        else:
            total = int(resumed[2])
        if answer.status == 206 and not have:
            part.unlink(missing_ok=True)  # an answer to another question: ask for all of it
            return False
        progress.phase(_("downloading %(address)s") % {"address": address}, total, before=have)
        try:
            with part.open("ab" if have else "wb") as opened:
                while chunk := answer.read(_CHUNK):
                    have += len(chunk)
                    if have > MOST_BYTES:
                        raise BadPackage(_("%(address)s is larger than a release of left4me.") % {"address": address})
                    opened.write(chunk)
                    progress.add(len(chunk))
        finally:
            progress.end_phase()
    return have >= total


def _open(address: str, headers: dict[str, str] | None = None) -> Any:
    refuse_other_schemes(address)
    request = urllib.request.Request(address, headers={"User-Agent": "left4me", **(headers or {})})  # noqa: S310 -- https
    return urllib.request.build_opener(_OnlyHttps()).open(request, timeout=_SECONDS)


def _failed(address: str, error: Exception, part: Path | None = None) -> BadPackage:
    reason = str(getattr(error, "reason", "") or error) or type(error).__name__
    text = _("%(address)s cannot be fetched: %(reason)s.") % {"address": address, "reason": reason}
    if part is not None and part.exists():
        size = readable_size(part.stat().st_size)
        text += " " + _("%(size)s are here: run the same command again to fetch the rest.") % {"size": size}
    return BadPackage(text)
