"""Sign-in at a provider of OpenID Connect, by its code flow with PKCE, which proves who the person at this browser is.

`begin` gives the address at the provider that the browser is sent to, `finish` checks what it comes back with. The
flow is three requests, which pass the guard of outgoing requests; signed tokens are verified by the library joserfc.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from django.core.cache import cache
from django.http import QueryDict
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from left4me.core.net import fetch
from left4me.core.web.refusals import Refused
from left4me.core.web.request import read_json

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Signatures by keys that the provider publishes; not by a secret that both know, and never none.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_SECONDS: Final = 120
_LONGEST_ANSWER: Final = 256 * 1024
_LONGEST_SUBJECT: Final = 255
_SECONDS: Final = 10.0
_KEPT_SECONDS: Final = 15 * 60
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Provider:
    """A provider as the settings name it. Without a secret it knows this site as a public client."""

    issuer: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class Identity:
    """Who somebody is at a provider: `subject` never changes there; `label` is for people."""

    issuer: str
    subject: str
    label: str


class _Untrue(Exception):
    """What the provider sent does not prove what it should; the message is for the log."""


def begin(provider: Provider, *, return_to: str) -> tuple[str, dict[str, str]]:
    """The address to send the browser to, and what `finish` needs. Raises Refused if the provider cannot be asked."""
    memory = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(memory["verifier"].encode()).digest()).decode().rstrip("=")
    query = {
        "response_type": "code",
        "scope": "openid profile",
        "client_id": provider.client_id,
        "redirect_uri": return_to,
        "state": memory["state"],
        "nonce": memory["nonce"],
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    address = _ask(lambda: str(_configuration(provider)["authorization_endpoint"]))
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}", memory


def finish(provider: Provider, answer: QueryDict, memory: Mapping[str, str], *, return_to: str) -> Identity:
    """Who the provider says this is. Raises Refused."""
    if not constant_time_compare(memory.get("state", ""), answer.get("state", "")):
        raise Refused(_("This sign-in was not started in this browser, or it took too long. Try again."))
    if "error" in answer or not answer.get("code"):
        raise Refused(_("The sign-in was cancelled or refused there. Try again."))
    return _ask(lambda: _identity(provider, answer, memory, return_to))


def _ask(question: Callable[[], Result]) -> Result:
    """The result of asking the provider. Raises Refused."""
    try:
        return question()
    except fetch.FetchError as error:
        logger.warning("The OpenID Connect provider could not be asked: %s", error)
        raise Refused(
            _("The provider could not be reached. Try again later, or sign in with the password.")
        ) from error
    except _Untrue as error:
        logger.warning("The OpenID Connect provider sent what is not valid: %s", error)
        raise Refused(_("The provider's answer is not valid. Try again, or sign in with the password.")) from error


def _identity(provider: Provider, answer: QueryDict, memory: Mapping[str, str], return_to: str) -> Identity:
    known = _configuration(provider)
    # Of two providers, one must not pass on an answer of the other (RFC 9207).
    if answer.get("iss", known["issuer"]) != known["issuer"]:
        raise _Untrue("The answer is of another issuer.")
    fields = {
        "grant_type": "authorization_code",
        "code": str(answer["code"]),
        "redirect_uri": return_to,
        "code_verifier": memory["verifier"],
    }
    token = _token(provider, known, fields)
    claims = _claims(provider, known, str(token.get("id_token", "")), nonce=memory["nonce"])
    names = (claims.get(name) for name in ("preferred_username", "name", "email"))
    label = next((name for name in names if isinstance(name, str) and name.strip()), claims["sub"])
    return Identity(known["issuer"], claims["sub"], "".join(filter(str.isprintable, label))[:100])


def _token(provider: Provider, known: Mapping[str, Any], fields: dict[str, str]) -> Mapping[str, Any]:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    offered = known.get("token_endpoint_auth_methods_supported")
    if not isinstance(offered, list) or not offered:
        offered = ["client_secret_basic"]
    if provider.client_secret and "client_secret_basic" in offered:
        pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        fields |= {"client_id": provider.client_id}
        fields |= {"client_secret": provider.client_secret} if provider.client_secret else {}
    with (
        _client(provider) as client,
        client.post(known["token_endpoint"], urlencode(fields).encode(), headers=headers) as reply,
    ):
        body = reply.body(limit=_LONGEST_ANSWER, within=_SECONDS)
        if reply.status != 200:
            raise _Untrue(f"The token endpoint answered {reply.status}.")
    return _object(body)


def _claims(provider: Provider, known: Mapping[str, Any], raw: str, *, nonce: str) -> dict[str, Any]:
    """The claims of an ID token, verified as OpenID Connect Core 3.1.3.7 says. Raises _Untrue."""
    # Its library is 3 MB, for those who sign in this way.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    registry = jwt.JWTClaimsRegistry(
        now=lambda: int(time.time()),
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": known["issuer"]},
        aud={"essential": True, "value": provider.client_id},
        nonce={"essential": True, "value": nonce},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    fault: Exception | None = None
    # The provider may have changed its keys since they were fetched.
    for is_fresh in (False, True):
        try:
            keys = KeySet.import_key_set(_document(provider, known["jwks_uri"], is_fresh=is_fresh))  # type: ignore[arg-type]
            token = jwt.decode(raw, keys, algorithms=list(_ALGORITHMS))
            break
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            fault = error
    else:
        raise _Untrue(f"The signature of the ID token is not valid: {fault!r}")
    claims = token.claims
    try:
        registry.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise _Untrue(f"A claim of the ID token is not valid: {error!r}") from error
    if claims.get("azp", provider.client_id) != provider.client_id or len(claims["sub"]) > _LONGEST_SUBJECT:
        raise _Untrue("The ID token is for another client, or its subject is too long.")
    return claims


def _configuration(provider: Provider) -> Mapping[str, Any]:
    """The provider's own description (discovery). Raises _Untrue and FetchError."""
    found = _document(provider, f"{provider.issuer}/.well-known/openid-configuration")
    if str(found.get("issuer", "")).rstrip("/") != provider.issuer:
        raise _Untrue("The provider describes another issuer.")
    if not all(isinstance(found.get(name), str) for name in _ENDPOINTS):
        raise _Untrue("The provider's description has no endpoints.")
    try:
        schemes = [urlsplit(found[name]).scheme for name in _ENDPOINTS]
    except ValueError as error:
        raise _Untrue("An endpoint of the provider is no address.") from error
    # The browser is sent to the first one; the guard of outgoing requests judges the others.
    if schemes[0] not in {"https", urlsplit(provider.issuer).scheme}:
        raise _Untrue("The provider's sign-in page has no https address.")
    return found


def _document(provider: Provider, url: str, *, is_fresh: bool = False) -> Mapping[str, Any]:
    key = f"accounts:oidc:{hashlib.sha256(url.encode()).hexdigest()}"
    kept = None if is_fresh else cache.get(key)
    if isinstance(kept, dict):
        return kept
    with _client(provider) as client, client.get(url, headers={"Accept": "application/json"}) as reply:
        body = reply.body(limit=_LONGEST_ANSWER, within=_SECONDS)
        if reply.status != 200:
            raise _Untrue(f"The provider answered {reply.status} at {url}.")
    found = _object(body)
    cache.set(key, found, _KEPT_SECONDS)
    return found


def _client(provider: Provider) -> fetch.Client:
    # Endpoints may be on other public hosts; in private networks only the origin that the settings name is reached.
    hosts = fetch.AllowedHosts(any_public=True).with_origin(provider.issuer)
    return fetch.Client(hosts=hosts, read_timeout=_SECONDS)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = read_json(body)
    except (ValueError, json.JSONDecodeError) as error:
        raise _Untrue("The provider sent no JSON.") from error
    if not isinstance(found, dict):
        raise _Untrue("The provider sent no JSON object.")
    return found
