from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with OWASP's smallest recommended cost: 19 MiB, two passes, one lane.

    Django's default of 100 MiB would let a few simultaneous sign-ins exhaust a small server.
    Source: OWASP Password Storage Cheat Sheet, "Argon2id".
    """

    memory_cost = 19_456  # KiB
    time_cost = 2
    parallelism = 1
