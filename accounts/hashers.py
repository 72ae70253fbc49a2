"""How passwords are stored."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """Argon2id at OWASP's 19 MiB instead of Django's 100 MiB × 8 threads: a burst of sign-ins must not use up
    the memory that the games need."""

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
