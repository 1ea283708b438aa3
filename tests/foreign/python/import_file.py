"""Sends a record file to todoke with nothing but stock grpcio, and ends with a receipt that it has checked.

    python import_file.py --endpoints DIR/endpoints.json --as municipality/131229 cards.csv

The way is the one of proto/README.md: sums first, then OpenBatch, UploadChunks, SealBatch, WatchBatch and
GetReceipt. It keeps the whole file in memory and no journal: a program for daily use does neither, see
`todoke import`.
"""

import argparse
import datetime
import json
import pathlib

import grpc

import records
from connection import connect, explain, pb, pb_grpc
from proof import check_inclusion, open_receipt

# Every call has a deadline, and relay and issuer keep to it.
SECONDS = 10


def import_file(stub, file, caller, chunk_records, receipt_key):
    """Takes `file` from its first byte to a verified receipt; returns the receipt's text."""
    batch = records.Batch(file, chunk_records)
    last = stub.ListBatches(pb.ListBatchesRequest(page_size=1), timeout=SECONDS)
    manifest = batch.manifest(
        municipality=caller.name,
        batch_id=records.uuid7(),
        sequence=last.last_sequence + 1,
        previous_receipt=last.last_receipt_digest,
        seal_by=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1),
    )
    opening = pb.OpenBatchRequest(
        manifest=manifest,
        signature=caller.sign(manifest),
        certificate_chain=caller.chain,
        chunk_roots=batch.chunk_roots,
    )
    opened = stub.OpenBatch(opening, timeout=SECONDS)
    known = opened.batch
    print(f"opened {known.batch_id}: {known.record_count} records, {known.chunk_count} chunks")

    upload(stub, batch, opened)
    sealing = pb.SealBatchRequest(batch_id=known.batch_id, manifest_digest=known.manifest_digest)
    stub.SealBatch(sealing, timeout=60)
    for update in stub.WatchBatch(pb.WatchBatchRequest(batch_id=known.batch_id), timeout=60):
        state = pb.BatchState.Name(update.batch.state)
    counts = update.batch.counts
    print(f"ended as {state}: {counts.accepted} accepted, {counts.rejected} rejected")

    answer = stub.GetReceipt(pb.GetReceiptRequest(batch_id=known.batch_id), timeout=SECONDS)
    receipt = open_receipt(answer.receipt, receipt_key)
    # The receipt is worth something because it says what *we* counted, under the issuer's signature.
    for name, total in (("records", batch.record_count), ("merkle-root", batch.merkle_root.hex())):
        assert f"\n{name} {total} {total}\n" in receipt, f"the receipt has other {name} than {total}"
    for index in {0, batch.record_count // 2, batch.record_count - 1}:
        asked = pb.GetInclusionProofRequest(batch_id=known.batch_id, index=index)
        proof = stub.GetInclusionProof(asked, timeout=SECONDS)
        assert proof.leaf_hash == batch.leaves[index], f"record {index} is not the one of the file"
        check_inclusion(proof.leaf_hash, index, batch.record_count, proof.path, batch.merkle_root)
    print("receipt and three inclusion proofs verified")
    return opening, receipt


def upload(stub, batch, opened):
    """Sends every chunk that is not durable yet, and returns once all of them are."""

    def frames():
        yield pb.UploadChunksRequest(start=pb.UploadStart(
            batch_id=opened.batch.batch_id,
            manifest_digest=opened.batch.manifest_digest,
            uploader_epoch=opened.uploader_epoch,
        ))
        durable = {n for held in opened.durable_chunks for n in range(held.first, held.last + 1)}
        for number, (root, payload) in enumerate(zip(batch.chunk_roots, batch.payloads)):
            if number not in durable:
                yield pb.UploadChunksRequest(chunk=pb.Chunk(chunk_number=number, root=root, payload=payload))

    missing = batch.record_count
    for acknowledgement in stub.UploadChunks(frames(), timeout=60):
        missing = acknowledgement.missing_count
        for fault in acknowledgement.faults:
            raise SystemExit(f"chunk {fault.chunk_number} was not taken: {fault.reason}: {fault.message}")
    assert missing == 0, f"{missing} records are not durable: open the batch again, send what is missing"


def show_errors(stub, opening):
    """What an error looks like: a code, a reason that never changes, and what is wrong with which field."""
    lenient = opening.manifest.replace(b"policy ALL_OR_NOTHING", b"policy ACCEPT_VALID 300")
    for what, call in {
        "a batch that nobody opened": lambda: stub.GetBatch(
            pb.GetBatchRequest(batch_id=str(records.uuid7())), timeout=SECONDS),
        "a batch id that is none": lambda: stub.GetBatch(
            pb.GetBatchRequest(batch_id="7"), timeout=SECONDS),
        "a manifest changed after it was signed": lambda: stub.OpenBatch(
            pb.OpenBatchRequest(manifest=lenient, signature=opening.signature,
                                certificate_chain=opening.certificate_chain, chunk_roots=opening.chunk_roots),
            timeout=SECONDS),
    }.items():
        try:
            call()
            raise SystemExit(f"{what}: was not refused")
        except grpc.RpcError as error:
            print(f"{what}: {explain(error)}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("file", type=pathlib.Path)
    arguments.add_argument("--endpoints", type=pathlib.Path, required=True)
    arguments.add_argument("--as", dest="caller", required=True, metavar="municipality/CODE")
    arguments.add_argument("--chunk-records", type=int, default=4096)
    arguments = arguments.parse_args()

    endpoints = json.loads(arguments.endpoints.read_text())
    channel, caller = connect(endpoints, arguments.endpoints.parent, arguments.caller)
    receipt_key = (arguments.endpoints.parent / endpoints["receipt_key"]).read_text()
    with channel:
        stub = pb_grpc.BatchServiceStub(channel)
        opening, receipt = import_file(stub, arguments.file, caller, arguments.chunk_records, receipt_key)
        show_errors(stub, opening)
    print(receipt, end="")


if __name__ == "__main__":
    main()
