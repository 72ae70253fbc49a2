"""What the fuzzer does with what browsers and providers send to prove who somebody is: passkeys and OpenID Connect."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, QueryDict
from fido2.cose import ES256
from fido2.webauthn import AttestedCredentialData
from joserfc import jwk, jwt

from accounts.doors import openid_connect
from accounts.factors import webauthn
from accounts.models import Passkey, User
from left4me.core.web.refusals import Refused
from left4me.core.web.request import read_json

_CREDENTIAL = b"credential"
_COSE = {1: 2, 3: -7, -1: 1, -2: bytes(31) + b"\1", -3: bytes(31) + b"\2"}
_STATE = {"challenge": base64.urlsafe_b64encode(b"c" * 32).decode().rstrip("="), "user_verification": "preferred"}
_PROVIDER = openid_connect.Provider("https://provider.invalid", "client", "secret")
_MEMORY = {"state": "s", "nonce": "n", "verifier": "v"}
_KEY = jwk.OctKey.import_key(b"k" * 32)
_DESCRIPTION = {
    "issuer": _PROVIDER.issuer,
    **{name: f"{_PROVIDER.issuer}/{name}" for name in openid_connect._ENDPOINTS},
}


def read_passkey(data: bytes) -> None:
    """The answer of a browser to both questions, with a passkey that nobody has the key of."""
    try:
        answer = read_json(data)
    except ValueError:
        return
    request = HttpRequest()
    request.META |= {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    user = User(pk=1, username="anna")
    stored = AttestedCredentialData.create(bytes(16), _CREDENTIAL, ES256(_COSE))
    passkey = Passkey(user=user, digest=webauthn._digest(_CREDENTIAL), credential=bytes(stored), sign_count=0)
    with contextlib.suppress(webauthn.Invalid):
        assert len(webauthn.digest_in(answer)) == 64
    with contextlib.suppress(webauthn.Invalid):
        webauthn.finish_request(request, passkey, dict(_STATE), answer)
        raise AssertionError("nobody has the key")
    with contextlib.suppress(webauthn.Invalid):
        made = webauthn.finish_registration(request, user, dict(_STATE), answer)
        assert len(made.digest) == 64 and made.sign_count >= 0


def read_provider(data: bytes) -> None:
    """The answers of a provider: its description, the keys and the token are the data, one after the other.

    The lines of the data replace them; an empty one leaves what a good provider says. None is ever a proof.
    """
    lines = [*data.split(b"\n"), b"", b"", b""][:3]
    good = [json.dumps(_DESCRIPTION).encode(), b'{"keys": []}', _token().encode()]
    bodies = dict(
        zip(
            ("description", "keys", "token"),
            (given or usual for given, usual in zip(lines, good, strict=True)),
            strict=True,
        )
    )
    openid_connect.logger.setLevel(logging.CRITICAL)
    provider = _Answering(bodies)
    kept = openid_connect._client, openid_connect.cache
    openid_connect._client, openid_connect.cache = (lambda _provider: provider), _Nothing()  # type: ignore[assignment]
    try:
        with contextlib.suppress(Refused):
            address, _memory = openid_connect.begin(_PROVIDER, return_to="https://here.invalid/")
            assert address.isprintable()
        with contextlib.suppress(Refused):
            answer = QueryDict("state=s&code=c")
            openid_connect.finish(_PROVIDER, answer, _MEMORY, return_to="https://here.invalid/")
            raise AssertionError("the key of the provider is not known")
    finally:
        openid_connect._client, openid_connect.cache = kept


def _token() -> str:
    claims = {"iss": _PROVIDER.issuer, "aud": "client", "nonce": "n", "sub": "1", "exp": 2**33, "iat": 1}
    return json.dumps({"id_token": jwt.encode({"alg": "HS256"}, claims, _KEY)})


class _Nothing:
    """A cache that keeps nothing."""

    def get(self, _key: str) -> None: ...

    def set(self, *_: Any) -> None: ...


class _Answering:
    """A client of the provider; the address says which of the bodies is wanted."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._bodies = bodies
        self._wanted = ""
        self.status = 200

    def __enter__(self) -> _Answering:
        return self

    def __exit__(self, *_: object) -> None: ...

    @contextlib.contextmanager
    def get(self, url: str, **_: Any) -> Iterator[_Answering]:
        self._wanted = "description" if url.endswith("openid-configuration") else "keys"
        yield self

    @contextlib.contextmanager
    def post(self, *_: Any, **__: Any) -> Iterator[_Answering]:
        self._wanted = "token"
        yield self

    def body(self, **_: Any) -> bytes:
        return self._bodies[self._wanted]


TARGETS = {
    "passkeys": read_passkey,
    "providers": read_provider,
}
