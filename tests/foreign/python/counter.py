"""Takes one person from an order to an active card with nothing but stock grpcio: form, application,
production, and the counter, where a terminal that remembers nothing is told the next step.

    python counter.py --endpoints DIR/endpoints.json --order ORDER_ID --birth-date YYYY-MM-DD

The chip is a key in this process; a real one keeps it, and what it was told, through any loss of power.
"""

import argparse
import datetime
import json
import pathlib
import uuid

import grpc
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from google.protobuf import duration_pb2, timestamp_pb2

from connection import connect, explain, services

WARD = "131229"
LOT = "LOT-PY"
SECONDS = 10

application, application_grpc = services["application"]
card, card_grpc = services["card"]
production, production_grpc = services["production"]


class Chip:
    """A chip: blank, prepared or committed for a session, and what it says of that with its signature."""

    def __init__(self, card_id):
        self.card_id, self.state, self.session = card_id, "BLANK", ""
        self._key = ec.generate_private_key(ec.SECP256R1())

    def public_key(self):
        form = serialization.PublicFormat.UncompressedPoint
        return self._key.public_key().public_bytes(serialization.Encoding.X962, form)

    def statement(self):
        text = f"todoke chip v1\n{WARD}\n{self.card_id}\n{self.state}\n{self.session or '-'}\n"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return card.ChipStatement(state=self.state, session_id=self.session, signature=signature)


def now():
    moment = timestamp_pb2.Timestamp()
    moment.FromDatetime(datetime.datetime.now(datetime.timezone.utc))
    return moment


def request_id():
    return str(uuid.uuid4())


def common():
    return {"request_id": request_id(), "occurred_time": now()}


def refused(what, call):
    try:
        call()
        print(f"{what}: done, which it should not be")
    except grpc.RpcError as error:
        print(f"{what}: {explain(error)}")


def applied(stub, order_id, birth_date):
    """Applies with the form of an order, and is approved."""
    form = stub.IssueForm(application.IssueFormRequest(order_id=order_id, **common()), SECONDS)
    photo = application.Photo(reference="P-1")
    asked = {"application_id": form.application_id, "photo": photo}
    refused("another birth date", lambda: stub.SubmitApplication(
        application.SubmitApplicationRequest(birth_date="1900-01-01", **asked, **common()), SECONDS))
    request = application.SubmitApplicationRequest(birth_date=birth_date, **asked, **common())
    number = stub.SubmitApplication(request, SECONDS).application.application_number
    again = stub.SubmitApplication(request, SECONDS).application.application_number
    assert number == again, "the same request is the same application"
    identity = {"application_number": number, **common()}
    refused("a notification card alone", lambda: stub.ConfirmIdentity(
        application.ConfirmIdentityRequest(documents=["NOTIFICATION_CARD"], **identity), SECONDS))
    identity.update(common())
    stub.ConfirmIdentity(application.ConfirmIdentityRequest(documents=["PASSPORT"], **identity), SECONDS)
    approval = {"application_number": number, "approve": True, **common()}
    stub.ReviewApplication(application.ReviewApplicationRequest(**approval), SECONDS)
    return number


def made(operator, press, number):
    """Has the card of an application made and sent."""
    quota = {"municipality_code": WARD, "lot_id": LOT, "producer": "press-1", "cards": 1}
    operator.AllocateQuota(production.AllocateQuotaRequest(request_id=request_id(), **quota), SECONDS)
    of = {"municipality_code": WARD, "lot_id": LOT}
    lease = duration_pb2.Duration(seconds=3600)
    wanted = production.PullOrdersRequest(request_id=request_id(), orders_max=10, lease=lease, **of)
    pulled = press.PullOrders(wanted, SECONDS)
    (order,) = [one for one in pulled.orders if one.application_number == number]
    print(f"the press has the name to print: {bool(order.personal_data.name)}")
    chip = Chip(order.card_id)
    good = production.GoodCard(chip_key=chip.public_key(), self_test="PASS")
    produced = production.ProducedCard(card_id=order.card_id, ok=good)
    report = production.ReportProductionRequest(cards=[produced], **of, **common())
    press.ReportProduction(report, SECONDS)
    press.ReportShipment(production.ReportShipmentRequest(
        shipment_id="S-1", card_ids=[order.card_id], **of, **common()), SECONDS)
    return chip


def handed_over(stub, chip):
    """Hands the card over; between any two steps everything but the chip could be lost."""
    arrived = {"card_ids": [chip.card_id], "office": "counter"}
    stub.RecordArrival(card.RecordArrivalRequest(**arrived, **common()), SECONDS)
    of = {"card_id": chip.card_id}
    stub.RecordPreIssuance(card.RecordPreIssuanceRequest(self_test="PASS", **of, **common()), SECONDS)
    stub.NotifyHolder(card.NotifyHolderRequest(**of, **common()), SECONDS)
    session = str(uuid.uuid4())
    stub.BeginActivation(card.BeginActivationRequest(
        session_id=session, terminal="T-1", documents=["PASSPORT"], **of, **common()), SECONDS)
    steps = []
    while True:
        asked = card.QueryActivationRequest(session_id=session, chip=chip.statement(), **of)
        answer = stub.QueryActivation(asked, SECONDS)
        step = card.ActivationStep.Name(answer.step).removeprefix("ACTIVATION_STEP_")
        steps.append(step)
        if step == "PREPARE_CHIP":
            chip.state, chip.session = "PREPARED", session
        elif step == "COMMIT_CHIP":
            chip.state = "COMMITTED"
        elif step == "CONFIRM":
            forged = Chip(chip.card_id)
            forged.state, forged.session = "COMMITTED", session
            refused("another chip", lambda: stub.ConfirmActivation(card.ConfirmActivationRequest(
                session_id=session, chip=forged.statement(), **of, **common()), SECONDS))
            stub.ConfirmActivation(card.ConfirmActivationRequest(
                session_id=session, chip=chip.statement(), **of, **common()), SECONDS)
        else:
            break
    print("steps: " + " ".join(steps))
    shown = stub.GetCard(card.GetCardRequest(card_id=chip.card_id), SECONDS).card
    print(f"the card is {card.CardState.Name(shown.state)}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--endpoints", type=pathlib.Path, required=True)
    options.add_argument("--order", required=True)
    options.add_argument("--birth-date", required=True)
    options = options.parse_args()
    endpoints, folder = json.loads(options.endpoints.read_text()), options.endpoints.parent
    ward, _ = connect(endpoints, folder, f"municipality/{WARD}")
    operator, _ = connect(endpoints, folder, "operator/alice")
    press, _ = connect(endpoints, folder, "producer/press-1")
    number = applied(application_grpc.ApplicationServiceStub(ward), options.order, options.birth_date)
    service = production_grpc.ProductionServiceStub
    chip = made(service(operator), service(press), number)
    handed_over(card_grpc.CardServiceStub(ward), chip)


if __name__ == "__main__":
    main()
