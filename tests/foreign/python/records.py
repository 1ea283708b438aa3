"""A record file as todoke counts and hashes it: canonical records, chunks, totals, and their manifest."""

import collections
import csv
import hashlib
import os
import struct
import time
import uuid

import proof

# The sixteen fields in canonical order; a column that is missing or empty is absent.
FIELDS = (
    "order_id", "kind", "household_id", "district", "name", "substitute_name", "reading", "reading_source",
    "birth_date", "sex", "address", "delivery_address", "individual_number", "protected", "accommodations",
    "glyph_profile",
)


def uuid7():
    """A batch id: a UUID of version 7 (RFC 9562), made before anything is sent."""
    value = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10))
    return uuid.UUID(int=value & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62)


def canonical(record):
    """The bytes that are hashed: for each field its length and its UTF-8 bytes, or FF FF FF FF if absent."""
    out = bytearray()
    for field in FIELDS:
        text = (record.get(field) or "").encode()
        out += struct.pack(">I", len(text)) + text if text else b"\xff\xff\xff\xff"
    return bytes(out)


class Batch:
    """Everything that a manifest says of a file, counted from the file itself."""

    def __init__(self, file, chunk_records):
        with open(file, encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
        encoded = [canonical(row) for row in rows]
        self.chunk_records = chunk_records
        self.record_count = len(rows)
        self.total_bytes = sum(map(len, encoded))
        self.kinds = collections.Counter(row["kind"] for row in rows)
        self.districts = collections.Counter(row["district"] for row in rows)
        self.households = collections.Counter(
            district for district, _ in {(row["district"], row["household_id"]) for row in rows})
        # Lost, doubled and altered keys show in this sum, whatever their order.
        firsts = (hashlib.sha256(row["order_id"].encode()).digest()[:16] for row in rows)
        self.hash_total = sum(map(int.from_bytes, firsts)) % (1 << 128)

        self.leaves = [hashlib.sha256(b"\x00" + record).digest() for record in encoded]
        blocks = [slice(first, first + chunk_records) for first in range(0, len(rows), chunk_records)]
        self.chunk_roots = [proof.root(self.leaves[block]) for block in blocks]
        self.payloads = [
            b"".join(struct.pack(">I", len(one)) + one for one in encoded[block]) for block in blocks]
        self.merkle_root = proof.root(self.chunk_roots)

    def manifest(self, municipality, batch_id, sequence, previous_receipt, seal_by, policy="ALL_OR_NOTHING"):
        """The text that is signed: a `key value` line each, in this order, names sorted by bytes."""
        lines = [
            "todoke manifest v1",
            f"municipality {municipality}",
            f"batch {batch_id}",
            f"sequence {sequence}",
            f"previous-receipt {previous_receipt.hex() or '-'}",
            "batch-kind CARD_ORDERS",
            f"policy {policy}",
            f"chunk-records {self.chunk_records}",
            f"seal-by {seal_by:%Y-%m-%dT%H:%M:%S.000Z}",
            f"records {self.record_count}",
            f"bytes {self.total_bytes}",
            f"households {self.households.total()}",
        ]
        lines += [f"kind {self.kinds[name]} {name}" for name in sorted(self.kinds)]
        lines += [f"district {self.households[name]} {self.districts[name]} {name}"
                  for name in sorted(self.districts, key=str.encode)]
        lines += [f"hash-total {self.hash_total:032x}", f"merkle-root {self.merkle_root.hex()}"]
        return "".join(f"{line}\n" for line in lines).encode()
