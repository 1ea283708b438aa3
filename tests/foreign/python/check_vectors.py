"""Checks the test vectors of proto/README.md with code that shares nothing with the issuer's.

    python check_vectors.py proto/README.md
"""

import datetime
import hashlib
import pathlib
import re
import sys
import tempfile

import proof
import records


def fenced(guide, beginning):
    """The text of the fenced block that begins with these words."""
    return re.search(rf"```\w+\n({re.escape(beginning)}.*?)```", guide, re.S).group(1)


def check(guide):
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(fenced(guide, "order_id,").encode())
        file.flush()
        batch = records.Batch(file.name, chunk_records=2)

    fields = re.findall(r"^([0-9a-f]{8}) ([0-9a-f]*) +(\w+)$", guide, re.M)
    assert [name for _, _, name in fields] == list(records.FIELDS)
    canonical = bytes.fromhex("".join(length + text for length, text, _ in fields))
    leaf = hashlib.sha256(b"\0" + canonical).digest()
    assert leaf == batch.leaves[0], "record 0"
    named = [(f"leaf {n}", leaf) for n, leaf in enumerate(batch.leaves)]
    named += [(f"chunk root {n}", root) for n, root in enumerate(batch.chunk_roots)]
    for name, digest in [*named, ("batch root", batch.merkle_root)]:
        assert re.search(rf"^{name} +{digest.hex()}$", guide, re.M), f"{name} is {digest.hex()}"
    assert hashlib.sha256(batch.payloads[0]).hexdigest() in guide, "the payload of chunk 0"

    text = fenced(guide, "todoke manifest v1")
    says = dict(line.split(" ", 1) for line in text.splitlines())
    manifest = batch.manifest(
        says["municipality"], says["batch"], says["sequence"], b"",
        datetime.datetime.fromisoformat(says["seal-by"].replace("Z", "+00:00")), says["policy"])
    assert manifest.decode() == text, "the manifest"
    assert hashlib.sha256(manifest).hexdigest() in guide, "the manifest's digest"

    note = fenced(guide, "todoke receipt v1").encode()
    key = re.search(r"public key `([^`]+)`", guide).group(1)
    receipt = proof.open_receipt(note, key)
    assert hashlib.sha256(receipt.encode()).hexdigest() in guide, "the receipt's digest"
    for title in ("todoke-view v1", "todoke-lease v1", "todoke-probe v1"):
        text = proof.open_receipt(fenced(guide, title).encode(), key)
        assert text.startswith(f"{title}\n"), title
    try:
        proof.open_receipt(note.replace(b"accepted 2", b"accepted 3"), key)
    except proof.InvalidSignature:
        return
    raise AssertionError("a changed receipt was believed")


if __name__ == "__main__":
    check(pathlib.Path(sys.argv[1]).read_text())
    print("records, roots, manifest and receipt are those of the guide")
