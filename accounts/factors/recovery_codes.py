"""Recovery codes: each works once, when the other factors are lost. Only their digests are stored."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final

from accounts.models import RecoveryCode, User
from accounts.secrets import digest

COUNT: Final = 10
# Without letters and digits that look alike.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
# 16 of 31 characters carry 79 bits, so that a fast digest is enough, as for tokens.
LENGTH: Final = 16
_GROUP: Final = 4


def renew(user: User) -> list[str]:
    """Replace the user's codes with new ones; returned as people read them, and not stored."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(LENGTH)) for _ in range(COUNT)]
    user.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=digest(code)) for code in codes)
    return ["-".join(code[at : at + _GROUP] for at in range(0, LENGTH, _GROUP)) for code in codes]


def accept(user: User, code: str, *, now: datetime, address: str) -> bool:
    """Whether the code is an unused one of the user's; from now on it is used."""
    return user.recovery_codes.claim(digest=digest(code), now=now, address=address)
