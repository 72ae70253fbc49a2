"""Secrets of users: random ones (tokens, links), of which only a digest is stored, and the hashing of passwords."""

from __future__ import annotations

import hashlib
import secrets

from django.contrib.auth.hashers import Argon2PasswordHasher


def new(prefix: str = "") -> str:
    """A new random secret of 256 bits. People and secret scanners recognise it by its prefix."""
    return prefix + secrets.token_urlsafe(32)


def digest(raw: str) -> str:
    """The digest that the database stores. A fast hash is enough, because 256 random bits cannot be guessed."""
    return hashlib.sha256(raw.encode()).hexdigest()


class Argon2(Argon2PasswordHasher):
    """Argon2id with OWASP's 19 MiB instead of Django's 100 MiB × 8 threads, so that a burst of sign-ins does not use
    up the memory that the games need."""

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
