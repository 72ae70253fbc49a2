"""What a passkey has to prove, verified by the library fido2.

Imported only when a passkey is used: most pages never need its 4 MB.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any, Final

from django.http import HttpRequest
from django.http.request import split_domain_port
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts.models import Passkey, User

State = dict[str, Any]
# What the library raises for answers that are no answers.
_MALFORMED: Final = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, OverflowError, RecursionError),
    *(struct.error, NotImplementedError),
)


class Invalid(Exception):
    """The answer of a passkey does not prove what it should."""


def begin_registration(request: HttpRequest, user: User, known: Iterable[Passkey]) -> tuple[Any, State]:
    """What a browser needs to make a passkey, and what `finish_registration` needs to verify it."""
    entity = PublicKeyCredentialUserEntity(id=handle_of(user), name=user.username, display_name=user.username)
    options, state = _server(request).register_begin(
        entity,
        [_descriptor(each) for each in known],
        resident_key_requirement=ResidentKeyRequirement.PREFERRED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return dict(options), state


def finish_registration(request: HttpRequest, user: User, state: State, answer: Any) -> Passkey:
    """The passkey that the browser made, not stored yet. Raises Invalid."""
    try:
        made = _server(request).register_complete(state, answer)
    except _MALFORMED as error:
        raise Invalid from error
    if made.credential_data is None:
        raise Invalid
    credential = made.credential_data
    return Passkey(
        user=user, digest=_digest(credential.credential_id), credential=bytes(credential), sign_count=made.counter
    )


def begin_request(request: HttpRequest, known: Iterable[Passkey] | None) -> tuple[Any, State]:
    """What a browser needs to use one of the passkeys, and what `finish_request` needs to verify it.

    Without `known`, any passkey that the browser has of this site, and its owner has to be verified by the device.
    """
    verification = UserVerificationRequirement.REQUIRED if known is None else UserVerificationRequirement.PREFERRED
    descriptors = None if known is None else [_descriptor(each) for each in known]
    options, state = _server(request).authenticate_begin(descriptors, user_verification=verification)
    return dict(options), state


def digest_in(answer: Any) -> str:
    """The digest of the passkey that an answer is of. Raises Invalid."""
    try:
        return _digest(AuthenticationResponse.from_dict(answer).raw_id)
    except _MALFORMED as error:
        raise Invalid from error


def finish_request(request: HttpRequest, passkey: Passkey, state: State, answer: Any) -> int:
    """Verify that the answer was signed by this passkey; returns the new count of its uses. Raises Invalid."""
    try:
        _server(request).authenticate_complete(state, [AttestedCredentialData(bytes(passkey.credential))], answer)
        response = AuthenticationResponse.from_dict(answer).response
        handle = response.user_handle
    except _MALFORMED as error:
        raise Invalid from error
    if handle and handle != handle_of(passkey.user):
        raise Invalid
    return int(response.authenticator_data.counter)


def handle_of(user: User) -> bytes:
    """What authenticators know the user by. It does not change, and tells nothing about the user."""
    return hashlib.sha256(f"left4me.user:{user.pk}:{user.created_at.isoformat()}".encode()).digest()


def _server(request: HttpRequest) -> Fido2Server:
    host = request.get_host()
    origin = f"{request.scheme}://{host}"
    name, _port = split_domain_port(host)
    party = PublicKeyCredentialRpEntity(name="left4me", id=name)
    return Fido2Server(party, verify_origin=lambda given: given == origin)


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    credential = AttestedCredentialData(bytes(passkey.credential))
    return PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=credential.credential_id)


def _digest(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()
