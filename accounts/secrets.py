"""Secrets that a person carries: made here, shown once, stored only as a digest."""

from __future__ import annotations

import hashlib
import secrets


def new(prefix: str = "") -> str:
    """A fresh secret of 256 bits; the prefix lets people and secret scanners recognise what they found."""
    return prefix + secrets.token_urlsafe(32)


def digest(raw: str) -> str:
    """What the database keeps. A plain hash is enough: 256 random bits cannot be guessed, slow or fast."""
    return hashlib.sha256(raw.encode()).hexdigest()
