"""Stubs made from proto/, a channel over every relay with mutual TLS, and errors in words."""

import importlib
import json
import pathlib
import sys
import tempfile

import grpc
import grpc_tools
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"


SERVICES = ["application", "batch", "card", "mail", "production"]


def stubs(folder):
    """Generates the stubs from the .proto files, as a build step would: grpc_tools.protoc is the compiler."""
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}",
                        f"--grpc_python_out={folder}", *(f"todoke/v1/{name}.proto" for name in SERVICES)])
    assert code == 0, "the .proto files do not compile"
    sys.path.insert(0, folder)
    load = importlib.import_module
    return {name: (load(f"todoke.v1.{name}_pb2"), load(f"todoke.v1.{name}_pb2_grpc")) for name in SERVICES}


# Messages and stubs of each service.
with tempfile.TemporaryDirectory() as made:
    services = stubs(made)
pb, pb_grpc = services["batch"]


class Caller:
    """One of our own certificates with its key; what is signed here nobody on the way can change."""

    def __init__(self, name, certificate, key):
        self.name = name
        self.certificate, self.key = certificate, key
        self._signer = serialization.load_pem_private_key(key, password=None)
        own = x509.load_pem_x509_certificates(certificate)
        self.chain = [one.public_bytes(serialization.Encoding.DER) for one in own]

    def sign(self, message):
        """ECDSA P-256 with SHA-256, ASN.1 DER."""
        return self._signer.sign(message, ec.ECDSA(hashes.SHA256()))


def connect(endpoints, folder, name):
    """Opens one channel over all relays of endpoints.json that say SERVING, as the municipality `name`."""
    files = endpoints["clients"][name]
    certificate, key = ((folder / files[which]).read_bytes() for which in ("cert", "key"))
    credentials = grpc.ssl_channel_credentials((folder / endpoints["ca"]).read_bytes(), key, certificate)
    target = "ipv4:" + ",".join(relay["address"] for relay in endpoints["relays"])
    channel = grpc.secure_channel(target, credentials, options=[
        # Relays are known by one name, whatever their addresses; without an authority of its own, grpcio
        # would send the whole list of addresses as one, which no server takes.
        ("grpc.ssl_target_name_override", endpoints["server_name"]),
        ("grpc.default_authority", endpoints["server_name"]),
        # A relay that was taken out still answers, with RELAY_FENCED: only its health says to leave it.
        ("grpc.service_config", json.dumps({
            "loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""},
        })),
        ("grpc.max_receive_message_length", 16 << 20),
    ])
    return channel, Caller(name.split("/")[1], certificate, key)


def explain(error):
    """An error in one line: its code, reason and violations; the message is for people and may change."""
    status = rpc_status.from_call(error)
    if status is None:
        return f"{error.code().name} {error.details()}"
    said = [error.code().name]
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            said.append(f"{info.domain}/{info.reason}")
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            said += [f"[{violation.field}: {violation.description}]" for violation in bad.field_violations]
    return " ".join(said)
