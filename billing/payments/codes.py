"""Codes of vouchers: made of random bytes, written for people, and kept as hashes alone.

A code is 20 characters of Crockford's base 32, 100 random bits, in groups of four. The first group
is kept as well, so that operators and customers can speak about a voucher; the other 80 bits are
more than anybody tries, even at a copy of the database, so a plain hash is enough, and nothing
that may be lost, such as the secret key, makes vouchers worthless.
"""

import hashlib
import hmac
import secrets
import unicodedata

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: without I, L, O and U
GROUPS, GROUP = 5, 4
LENGTH = GROUPS * GROUP
LONGEST_SENT = 100
_READ_AS = str.maketrans("OIL", "011", " -\N{EN DASH}\N{NON-BREAKING HYPHEN}\t\N{SOFT HYPHEN}")


def new_seed() -> str:
    """What the codes of one batch are derived from. Whoever has it has all of them."""
    return secrets.token_hex(32)


def derive(seed: str, count: int) -> list[str]:
    """The codes of a batch, the same for the same seed."""
    return [_write(_digest(seed, number)) for number in range(count)]


def normalize(text: str) -> str:
    """A code as people type it, in capitals and without separators; empty if it can be none."""
    if len(text) > LONGEST_SENT:
        return ""
    code = unicodedata.normalize("NFKC", text).upper().translate(_READ_AS)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else ""


def digest(code: str) -> str:
    """What is kept of a normalized code."""
    return hashlib.sha256(code.encode()).hexdigest()


def _digest(seed: str, number: int) -> int:
    key, message = bytes.fromhex(seed), number.to_bytes(4, "big")
    return int.from_bytes(hmac.digest(key, message, "sha256"), "big")


def _write(bits: int) -> str:
    characters = [ALPHABET[bits >> 5 * place & 31] for place in range(LENGTH)]
    return "-".join("".join(characters[start : start + GROUP]) for start in range(0, LENGTH, GROUP))
