"""An authenticator in memory: makes passkeys and signs with them, as a telephone does."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

Flag = AuthenticatorData.FLAG


class Authenticator:
    """One passkey at `origin`; `count` is how often it says that it was used."""

    def __init__(self, *, origin: str = "http://testserver", name: str = "phone") -> None:
        self.origin, self.id, self.count = origin, f"id of {name}".encode(), 0
        self.handle: bytes | None = None
        self._key = ec.generate_private_key(ec.SECP256R1())

    def make(self, options: dict[str, Any]) -> str:
        """The answer to the options with which a page asks for a new passkey."""
        asked = options["publicKey"]
        self.handle = _bytes(asked["user"]["id"])
        credential = AttestedCredentialData.create(
            Aaguid.NONE, self.id, ES256.from_cryptography_key(self._key.public_key())
        )
        data = AuthenticatorData.create(
            _hash(asked["rp"]["id"]), Flag.USER_PRESENT | Flag.ATTESTED, self.count, bytes(credential)
        )
        client = self._client_data("webauthn.create", asked["challenge"])
        attestation = AttestationObject.create("none", data, {})
        return self._answer({"clientDataJSON": _text(client), "attestationObject": _text(bytes(attestation))})

    def use(self, options: dict[str, Any], *, is_verified: bool = True, party: str = "") -> str:
        """The answer to the options with which a page asks for one of its passkeys."""
        asked = options["publicKey"]
        flags = Flag.USER_PRESENT | (Flag.USER_VERIFIED if is_verified else Flag(0))
        data = AuthenticatorData.create(_hash(party or asked["rpId"]), flags, self.count)
        client = self._client_data("webauthn.get", asked["challenge"])
        signed = bytes(data) + hashlib.sha256(client).digest()
        response = {
            "clientDataJSON": _text(client),
            "authenticatorData": _text(bytes(data)),
            "signature": _text(self._key.sign(signed, ec.ECDSA(hashes.SHA256()))),
        }
        if self.handle is not None:
            response["userHandle"] = _text(self.handle)
        return self._answer(response)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return bytes(CollectedClientData.create(kind, challenge, self.origin))

    def _answer(self, response: dict[str, str]) -> str:
        name = _text(self.id)
        answer = {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}
        return json.dumps(answer)


def _hash(party: str) -> bytes:
    return hashlib.sha256(party.encode()).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
