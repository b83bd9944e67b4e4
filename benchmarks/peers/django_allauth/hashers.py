# mypy: ignore-errors
# (its imports are installed in a separate environment)
"""The password hash, at the cost of the benchmark."""

import os

from django.contrib.auth.hashers import BCryptSHA256PasswordHasher


class Hasher(BCryptSHA256PasswordHasher):
    """As Django has it, with another cost."""

    rounds = int(os.environ["BCRYPT_ROUNDS"])
