"""Sign-in through Steam by OpenID 2.0, which proves that the person at this browser owns a Steam ID.

`begin` gives the address at Steam that the browser is sent to, `finish` checks what it comes back with. Both know no
account: they link a Steam ID to one, and sign in to one.

Steam is one provider with one form of identifier, and it offers verification by asking it (`check_authentication`). So
discovery, associations and the other parts of the protocol, which libraries bring, are not needed. python3-openid had
no release since 2020 and fetches addresses by itself, past the guard of outgoing requests; django-allauth uses it too.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from django.core.cache import cache
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from left4me.core import steam_ids
from left4me.core.net import fetch
from left4me.core.web import refusals

logger = logging.getLogger(__name__)

Refused = refusals.Refused

_NAMESPACE: Final = "http://specs.openid.net/auth/2.0"
_ANY_IDENTIFIER: Final = "http://specs.openid.net/auth/2.0/identifier_select"
# What the signature has to cover: the identity, and everything that ties the answer to this request.
_SIGNED: Final = frozenset({"op_endpoint", "claimed_id", "identity", "return_to", "response_nonce", "assoc_handle"})
_NONCE_LIFETIME: Final = timedelta(minutes=5)
_LONGEST_ANSWER: Final = 16_384
_SECONDS: Final = 10.0


def begin(request: HttpRequest, *, provider: str, return_path: str) -> tuple[str, str]:
    """The address at Steam to send the browser to, from where it comes back to `return_path`, and a random state.

    Only the browser that brings the same state to `finish` began this.
    """
    state = secrets.token_urlsafe(24)
    fields = {
        "openid.ns": _NAMESPACE,
        "openid.mode": "checkid_setup",
        "openid.return_to": _return_to(request, return_path, state),
        "openid.realm": request.build_absolute_uri("/"),
        "openid.identity": _ANY_IDENTIFIER,
        "openid.claimed_id": _ANY_IDENTIFIER,
    }
    return f"{provider}/login?{urlencode(fields)}", state


def finish(request: HttpRequest, *, provider: str, return_path: str, state: str) -> int:
    """The Steam ID that Steam confirms for the answer in this request. Raises Refused."""
    answer = request.GET
    if not state or not constant_time_compare(state, answer.get("state", "")):
        raise Refused(_("This sign-in was not started in this browser, or it took too long. Try again."))
    if answer.get("openid.mode") == "cancel":
        raise Refused(_("Sign-in through Steam was cancelled."))
    steam_id = _claimed(answer, provider=provider, return_to=_return_to(request, return_path, state))
    if steam_id is None or not _is_fresh(answer.get("openid.response_nonce", ""), timezone.now()):
        raise Refused(_("Steam's answer is not valid. Try again."))
    # Before Steam is asked: of two requests with the same answer, only one gets this far.
    if not cache.add(_nonce_key(answer["openid.response_nonce"]), 1, 2 * _NONCE_LIFETIME.total_seconds()):
        raise Refused(_("This answer of Steam was used before. Try again."))
    if not _confirms(answer, provider):
        raise Refused(_("Steam did not confirm this sign-in. Try again."))
    return steam_id


def _return_to(request: HttpRequest, path: str, state: str) -> str:
    return f"{request.build_absolute_uri(path)}?{urlencode({'state': state})}"


def _claimed(answer: QueryDict, *, provider: str, return_to: str) -> int | None:
    """The Steam ID that the answer claims for this request; None for an answer to something else."""
    fields = {name: values for name, values in answer.lists() if name.startswith("openid.")}
    # Of a field that comes twice, Steam could check one and this code read the other.
    if any(len(values) != 1 for values in fields.values()):
        return None
    expected = {
        "openid.ns": _NAMESPACE,
        "openid.mode": "id_res",
        "openid.op_endpoint": f"{provider}/login",
        "openid.return_to": return_to,
        "openid.identity": answer.get("openid.claimed_id", ""),
    }
    if any(answer.get(name) != value for name, value in expected.items()):
        return None
    if not _SIGNED.issubset(answer.get("openid.signed", "").split(",")):
        return None
    claimed = re.fullmatch(re.escape(f"{provider}/id/") + "([0-9]{17})", answer.get("openid.claimed_id", ""))
    return steam_ids.parse(claimed[1]) if claimed else None


def _is_fresh(nonce: str, now: datetime) -> bool:
    """Whether a nonce, which begins with its moment, is recent: only so long are used ones remembered."""
    try:
        at = datetime.strptime(nonce[:20], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(now - at) < _NONCE_LIFETIME


def _nonce_key(nonce: str) -> str:
    return f"accounts:steam-nonce:{hashlib.sha256(nonce.encode()).hexdigest()}"


def _confirms(answer: QueryDict, provider: str) -> bool:
    """Ask Steam whether it signed this answer. Raises Refused when Steam cannot be asked."""
    fields = {name: str(answer[name]) for name in answer if name.startswith("openid.")}
    fields["openid.mode"] = "check_authentication"
    hosts = fetch.AllowedHosts().with_origin(provider)
    try:
        with (
            fetch.Client(hosts=hosts, read_timeout=_SECONDS) as client,
            client.post_form(f"{provider}/login", fields) as reply,
        ):
            text = reply.body(limit=_LONGEST_ANSWER, within=_SECONDS).decode("utf-8", "replace")
            return reply.status == 200 and "is_valid:true" in text.splitlines()
    except fetch.FetchError as error:
        logger.warning("Steam could not be asked about a sign-in: %s", error)
        raise Refused(
            _("Steam could not be reached to confirm this sign-in. Try again later, or enter the Steam ID by hand.")
        ) from error
