"""A stock grpcio client that makes small calls, three a second at random, whatever becomes of them: by xDS
from the bootstrap file that GRPC_XDS_BOOTSTRAP names, or over a list of relays by a service config.

    call_pool.py CA KEY CERTIFICATE xds:///todoke.internal
    call_pool.py CA KEY CERTIFICATE ipv4:A,B,C SERVER_NAME SERVICE_CONFIG

Calls until its standard input ends, then waits for what is under way. Says of each call, as it ends, when it
began and ended, in milliseconds since 1970, its code, and what a refusal said.
"""

import json
import pathlib
import random
import sys
import threading
import time

import grpc

from connection import pb, pb_grpc

# The mean; evenly spaced calls would keep step with round robin.
EVERY_S = 1 / 3
# Longer than it takes until a relay that hangs is out and gives back what it holds.
DEADLINE_S = 240


def connect(ca, key, certificate, target, name=None, config=None):
    """A channel by xDS, or with a service config over a list."""
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    if config is None:
        # The fallback is for a server that sends no security settings; this one does.
        return grpc.secure_channel(target, grpc.xds_channel_credentials(credentials))
    return grpc.secure_channel(target, credentials, options=[
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", name),
        ("grpc.service_config", config),
    ])


def now_ms():
    return round(time.time() * 1000)


class Calls:
    """Calls, and how many of them are over."""

    def __init__(self, channel):
        self.batches = pb_grpc.BatchServiceStub(channel)
        self.over = threading.Semaphore(0)
        self.begun = 0

    def begin(self):
        begun_ms = now_ms()
        call = self.batches.ListBatches.future(pb.ListBatchesRequest(page_size=1), timeout=DEADLINE_S)
        call.add_done_callback(lambda call: self.ended(begun_ms, call))
        self.begun += 1

    def ended(self, begun_ms, call):
        said = {"begun_ms": begun_ms, "ended_ms": now_ms(), "code": call.code().name, "words": call.details()}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        self.over.release()

    def wait(self):
        for _ in range(self.begun):
            self.over.acquire()


def until_told(stop):
    sys.stdin.read()
    stop.set()


def main():
    files = [pathlib.Path(name).read_bytes() for name in sys.argv[1:4]]
    stop = threading.Event()
    threading.Thread(target=until_told, args=[stop], daemon=True).start()
    with connect(*files, *sys.argv[4:]) as channel:
        calls = Calls(channel)
        while not stop.wait(random.uniform(0, 2 * EVERY_S)):
            calls.begin()
        calls.wait()


if __name__ == "__main__":
    main()
