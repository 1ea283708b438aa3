"""A stock grpcio client that is told no address of a relay: it learns the pool by xDS from the bootstrap file
that GRPC_XDS_BOOTSTRAP names.

    learn_pool.py CA KEY CERTIFICATE

Makes as many calls as each line of its standard input says, and answers with how many ended in which code.
"""

import collections
import json
import pathlib
import sys

import grpc

from connection import pb, pb_grpc

# What nobody opened: NOT_FOUND is the issuer's own word, so the call went the whole way.
ASKED = pb.GetBatchRequest(batch_id="0192f0c1-2345-7abc-8def-000000000001")


def code_of(batches):
    """Makes one call and returns the name of its code."""
    try:
        batches.GetBatch(ASKED, timeout=10, wait_for_ready=True)
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def main():
    ca, key, certificate = (pathlib.Path(name).read_bytes() for name in sys.argv[1:])
    # The fallback is for a server that sends no security settings; this one does.
    fallback = grpc.ssl_channel_credentials(ca, key, certificate)
    credentials = grpc.xds_channel_credentials(fallback)
    # The name that stands in the relays' certificates: no override of any name is needed then.
    with grpc.secure_channel("xds:///todoke.internal", credentials) as channel:
        batches = pb_grpc.BatchServiceStub(channel)
        for line in sys.stdin:
            codes = collections.Counter(code_of(batches) for _ in range(int(line)))
            print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    main()
