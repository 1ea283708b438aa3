"""Sends a record file to todoke with nothing but stock grpcio, and ends with a receipt that it has checked.

    python import_file.py --endpoints DIR/endpoints.json --as municipality/131229 cards.csv

The way is the one of proto/README.md: sums first, then OpenBatch, UploadChunks, SealBatch, WatchBatch and
GetReceipt. An upload that breaks, as it does when its relay dies, is opened again and goes on over another
one. It keeps the whole file in memory and no journal: a program for daily use does neither, see
`todoke import`.
"""

import argparse
import datetime
import json
import pathlib
import random
import threading
import time

import grpc

import records
from connection import connect, explain, pb, pb_grpc
from proof import check_inclusion, open_receipt

# Every call has a deadline, and relay and issuer keep to it.
SECONDS = 10
# How often a call or an upload is tried: each is safe to try again, under its own batch id.
TRIES = 10


def again(call):
    """Makes a call until it is answered; only UNAVAILABLE is no answer. The waits grow, with jitter."""
    for tried in range(1, TRIES + 1):
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or tried == TRIES:
                raise
            print(f"tried {tried} times: {explain(error)}", flush=True)
            time.sleep(random.uniform(0.5, 1) * min(2, 0.1 * 2 ** tried))


def import_file(stub, file, caller, chunk_records, window, receipt_key):
    """Takes `file` from its first byte to a verified receipt; returns the receipt's text."""
    batch = records.Batch(file, chunk_records)
    last = again(lambda: stub.ListBatches(pb.ListBatchesRequest(page_size=1), timeout=SECONDS))
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
    # The same manifest again is the same batch again, with what is durable of it by now.
    known = again(lambda: upload(stub, batch, stub.OpenBatch(opening, timeout=SECONDS), window))
    sealing = pb.SealBatchRequest(batch_id=known.batch_id, manifest_digest=known.manifest_digest)
    again(lambda: stub.SealBatch(sealing, timeout=60))
    ended = again(lambda: watch(stub, known.batch_id))
    state, counts = pb.BatchState.Name(ended.state), ended.counts
    print(f"ended as {state}: {counts.accepted} accepted, {counts.rejected} rejected")
    if ended.state != pb.BATCH_STATE_ACCEPTED:
        raise SystemExit(f"no receipt for {known.batch_id}: ListDispositions names each record and why")

    answer = again(lambda: stub.GetReceipt(pb.GetReceiptRequest(batch_id=known.batch_id), timeout=SECONDS))
    receipt = open_receipt(answer.receipt, receipt_key)
    # The receipt is worth something because it says what *we* counted, under the issuer's signature.
    for name, total in (("records", batch.record_count), ("merkle-root", batch.merkle_root.hex())):
        assert f"\n{name} {total} {total}\n" in receipt, f"the receipt has other {name} than {total}"
    for index in {0, batch.record_count // 2, batch.record_count - 1}:
        asked = pb.GetInclusionProofRequest(batch_id=known.batch_id, index=index)
        proof = again(lambda: stub.GetInclusionProof(asked, timeout=SECONDS))
        assert proof.leaf_hash == batch.leaves[index], f"record {index} is not the one of the file"
        check_inclusion(proof.leaf_hash, index, batch.record_count, proof.path, batch.merkle_root)
    print("receipt and three inclusion proofs verified")
    return opening, receipt


def upload(stub, batch, opened, window):
    """Sends every chunk that is not durable yet, and returns the batch once all of them are.

    At most `window` chunks are on their way without an acknowledgement: what is sent before it would be lost
    with the relay, and has to be sent again.
    """
    durable = numbers(opened.durable_chunks)
    left = [number for number in range(len(batch.chunk_roots)) if number not in durable]
    print(f"opened {opened.batch.batch_id}: {opened.batch.record_count} records, "
          f"{len(batch.chunk_roots)} chunks, {len(left)} to send", flush=True)
    room = threading.Semaphore(window)

    def frames():
        yield pb.UploadChunksRequest(start=pb.UploadStart(
            batch_id=opened.batch.batch_id,
            manifest_digest=opened.batch.manifest_digest,
            uploader_epoch=opened.uploader_epoch,
        ))
        for number in left:
            if not room.acquire(timeout=SECONDS):
                return  # the stream has broken: whoever reads it has heard of it
            chunk = pb.Chunk(
                chunk_number=number, root=batch.chunk_roots[number], payload=batch.payloads[number])
            yield pb.UploadChunksRequest(chunk=chunk)

    missing = batch.record_count
    for acknowledgement in stub.UploadChunks(frames(), timeout=60):
        missing = acknowledgement.missing_count
        for fault in acknowledgement.faults:
            raise SystemExit(f"chunk {fault.chunk_number} was not taken: {fault.reason}: {fault.message}")
        before, durable = len(durable), numbers(acknowledgement.durable_chunks)
        print(f"durable: {len(durable)} of {len(batch.chunk_roots)} chunks", flush=True)
        for _ in range(len(durable) - before):
            room.release()
    assert missing == 0, f"{missing} records are not durable: open the batch again, send what is missing"
    return opened.batch


def numbers(ranges):
    """The chunk numbers of these ranges."""
    return {number for held in ranges for number in range(held.first, held.last + 1)}


def watch(stub, batch_id):
    """Waits until the batch has come to an end, and returns it."""
    batch = None
    for update in stub.WatchBatch(pb.WatchBatchRequest(batch_id=batch_id), timeout=60):
        batch = update.batch
    return batch


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
    arguments.add_argument("--window", type=int, default=8, help="chunks on their way at a time")
    arguments = arguments.parse_args()

    endpoints = json.loads(arguments.endpoints.read_text())
    channel, caller = connect(endpoints, arguments.endpoints.parent, arguments.caller)
    receipt_key = (arguments.endpoints.parent / endpoints["receipt_key"]).read_text()
    with channel:
        stub = pb_grpc.BatchServiceStub(channel)
        opening, receipt = import_file(
            stub, arguments.file, caller, arguments.chunk_records, arguments.window, receipt_key)
        show_errors(stub, opening)
    print(receipt, end="")


if __name__ == "__main__":
    main()
