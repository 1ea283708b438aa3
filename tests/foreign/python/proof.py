"""Receipts and inclusion proofs, checked without trusting whoever delivered them."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def open_receipt(note, verifier_key):
    """Returns the text of a C2SP signed note if the key `NAME+ID+BASE64` signed it; raises otherwise."""
    name, key_id, encoded = verifier_key.strip().split("+", 2)
    algorithm, public = base64.b64decode(encoded)[:1], base64.b64decode(encoded)[1:]
    assert algorithm == b"\x01", "the receipt key is no Ed25519 key"
    expected = hashlib.sha256(name.encode() + b"\n" + algorithm + public).digest()[:4]
    assert expected.hex() == key_id, "the receipt key's id is not its own"

    text, _, signatures = note.decode().rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if (dash, signer, signature[:4]) == ("—", name, expected):
            Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], text.encode())
            return text
    raise ValueError(f"the receipt is not signed by {name}")


def node(left, right):
    """An inner node of an RFC 6962 tree."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes):
    """The root of an RFC 6962 tree over leaf hashes; over chunk roots it is the batch's root too."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root(hashes[:split]), root(hashes[split:]))


def check_inclusion(leaf, index, count, path, expected):
    """Raises unless `path` leads from leaf `index` of `count` to the expected root (RFC 9162, 2.1.3.2)."""
    place, last, made = index, count - 1, leaf
    for step in path:
        assert last > 0, "the path is too long"
        if place & 1 or place == last:
            made = node(step, made)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            made = node(made, step)
        place, last = place >> 1, last >> 1
    assert last == 0 and made == expected, f"record {index} is not in the batch"
