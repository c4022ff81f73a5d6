"""An agency's system in Python, written from the guide to the contracts alone.

It asks who holds an address, has a watch with a standing freeze approved, follows it over a broken stream, and checks
every exchange's statement itself. It asserts what it expects, prints one line of JSON, and ends with 0."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import evidence
import stubs
import vectors

PURPOSE = "rehearsal of case 2026-cyber-00412"
DAY = 86_400

# Commands carry a request_id and reads change nothing, so what was not answered may be sent again.
AGAIN = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "haetae.intake.v1.IntakeService"}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"],
                },
            }
        ]
    }
)


def expect(holds: bool, otherwise: str) -> None:
    """An assertion that no interpreter flag switches off."""
    if not holds:
        raise AssertionError(otherwise)


def told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Refusal:
    """A status as the guide describes it."""

    def __init__(self, error: grpc.RpcError):
        self.code = error.code()
        self.reason, self.domain, self.violations = "", "", []
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason, self.domain = info.reason, info.domain
            elif detail.Unpack(bad):
                self.violations = [(fault.field, fault.reason, fault.description) for fault in bad.field_violations]


def refused(call: Callable[[], object], reason: str, code: grpc.StatusCode) -> Refusal:
    try:
        call()
    except grpc.RpcError as error:
        refusal = Refusal(error)
        expect(
            (refusal.domain, refusal.reason, refusal.code) == ("haetae", reason, code),
            f"refused as {refusal.code} {refusal.domain}/{refusal.reason}, expected {code} {reason}",
        )
        return refusal
    raise AssertionError(f"was not refused, expected {reason}")


class Door:
    """Intake as one person sees it, through the agency's system. Every endpoint is as good as another."""

    def __init__(self, arguments: argparse.Namespace, wire, token: Path):
        self.wire = wire
        self.timeout = arguments.timeout
        self.metadata = (("authorization", f"Bearer {token.read_text().strip()}"),)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=arguments.ca.read_bytes(),
            private_key=arguments.key.read_bytes(),
            certificate_chain=arguments.cert.read_bytes(),
        )
        options = [("grpc.ssl_target_name_override", arguments.server_name), ("grpc.service_config", AGAIN)]
        endpoints = [endpoint.removeprefix("https://") for endpoint in arguments.endpoint]
        channels = [grpc.secure_channel(endpoint, credentials, options) for endpoint in endpoints]
        self.stubs = [wire.intake_grpc.IntakeServiceStub(channel) for channel in channels]

    def move_on(self) -> None:
        """To the next endpoint."""
        self.stubs.append(self.stubs.pop(0))

    def call(self, method: str, **fields):
        request = getattr(self.wire.intake, f"{method}Request")(**fields)
        for left in reversed(range(len(self.stubs))):
            try:
                return getattr(self.stubs[0], method)(request, metadata=self.metadata, timeout=10)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or not left:
                    raise
                self.move_on()
        raise AssertionError("there is no endpoint")

    def submit(self, content, request_id: str | None = None):
        request_id = request_id or str(uuid.uuid4())
        return self.call("SubmitRequest", request_id=request_id, content=content).request

    def approve(self, request_id: str):
        return self.call("ApproveRequest", request_id=str(uuid.uuid4()), approved_request_id=request_id).request

    @contextmanager
    def updates(self, request_id: str, cursor: str = "") -> Iterator[Iterator]:
        """Updates after a cursor. Leaving breaks the stream and moves on, for any endpoint can resume it."""
        request = self.wire.intake.FollowUpdatesRequest(request_id=request_id, cursor=cursor, purpose=PURPOSE)
        stream = self.stubs[0].FollowUpdates(request, metadata=self.metadata, timeout=self.timeout)
        try:
            yield stream
        finally:
            stream.cancel()
            self.move_on()

    def follow(self, request_id: str, is_last: Callable[[object], bool], cursor: str = "") -> list:
        """Updates up to the one wanted, resuming whenever the stream ends."""
        found, deadline = [], time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            try:
                with self.updates(request_id, cursor) as stream:
                    for update in stream:
                        found.append(update)
                        cursor = update.cursor
                        if is_last(update):
                            return found
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
        kinds = [update.WhichOneof("update") for update in found]
        raise AssertionError(f"not seen within {self.timeout} s; seen: {kinds}")


def content(arguments: argparse.Namespace, wire, **kind):
    """What every request under a warrant has."""
    a, now = wire.authorisation, int(time.time())
    message = wire.request.RequestContent(
        case_number=arguments.case,
        legal_basis=arguments.basis,
        document=a.Document(
            number="2026-10412",
            issuer="Seoul Central District Court",
            sha256=hashlib.sha256(b"the rehearsal's warrant").digest(),
        ),
        officer=a.Officer(
            name="Kim Ji-woo",
            title="Inspector",
            address="97 Tongil-ro, Seodaemun-gu, Seoul",
            email="ji-woo@police.example",
            phone="+82-2-3150-0000",
        ),
        confidentiality=a.Confidentiality(deferral_ground="telling the customer would let the rest be moved"),
        summary="Coins were taken from a private wallet by a phishing site.",
        **kind,
    )
    message.document.issued_at.seconds, message.document.valid_until.seconds = now - 3_600, now + 7 * DAY
    message.confidentiality.notice_due.seconds = now + 30 * DAY
    return message


def target(wire, account: str):
    return wire.authorisation.Target(account=account)


def check_statement(wire, request, line, exchange_key: evidence.PublicKey) -> None:
    """An exchange's signed answer, as the guide says that it is checked."""
    envelope = wire.envelope.Envelope.FromString(line.statement)
    keys = {evidence.key_id(exchange_key): exchange_key}
    receipt = wire.statement.Receipt.FromString(evidence.open_envelope(envelope, "receipt", keys))
    report, confirmation = receipt.report, receipt.report.confirmation
    expect(receipt.exchange == line.exchange, f"the statement speaks for {receipt.exchange}")
    expect(report.state == wire.statement.LEG_STATE_ANSWERED, "the statement answers no question")
    said = wire.statement.ConfirmationAnswer.Name(confirmation.answer).removeprefix("CONFIRMATION_ANSWER_")
    shown = wire.trail.Answer.Name(line.answer).removeprefix("ANSWER_")
    expect(said == shown, f"{line.exchange} signed {said}, shown is {shown}")
    expect(confirmation.as_of == line.as_of, f"{line.exchange} signed another time than is shown")
    expect(confirmation.wallet_role == line.wallet_role, f"{line.exchange} signed another wallet role than is shown")
    authorisations = {given.exchange: given.authorisation_id for given in request.authorisations}
    asked = request.content.confirm_address.target
    leg = evidence.leg_id(authorisations[line.exchange], line.exchange, asked.account, asked.memo)
    expect(report.leg_id == leg, f"{line.exchange} answered another question")
    expect(hashlib.sha256(line.order).digest() == report.order_sha256, f"{line.exchange} answered another order")
    order = wire.order.Order.FromString(wire.envelope.Envelope.FromString(line.order).payload)
    about = (order.target.account, order.target.memo)
    expect(about == (asked.account, asked.memo), f"{line.exchange} answered about another address")


def confirm(arguments: argparse.Namespace, wire, asker: Door) -> dict:
    """Who holds an address? Nobody need approve that."""
    asked = content(
        arguments, wire, confirm_address=wire.request.ConfirmAddress(target=target(wire, arguments.confirm))
    )
    submitted = asker.submit(asked)
    expect(submitted.state == wire.request.REQUEST_STATE_APPROVED, "a question waits for approval")
    expect(submitted.approvals_needed == 0, "a question needs approval")

    again = asker.submit(asked, submitted.request_id)
    expect(again == submitted, "the same request under the same id got another answer")
    asked.summary += " And more."
    refused(lambda: asker.submit(asked, submitted.request_id), "REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS)

    closed = wire.request.REQUEST_STATE_CLOSED
    asker.follow(submitted.request_id, lambda update: update.request.state == closed)
    answer = asker.call("GetConfirmation", request_id=submitted.request_id, purpose=PURPOSE).confirmation
    lines = {line.exchange: line for line in answer.lines}
    expect(set(lines) == {given.exchange for given in submitted.authorisations}, "not every exchange has a line")
    verified = []
    for name, key in arguments.exchange_key:
        expect(name in lines, f"{name} was not asked")
        check_statement(wire, submitted, lines[name], key)
        verified.append(name)
    names = wire.trail.Answer.Name
    for line in answer.lines:
        told(f"{line.exchange}: {names(line.answer)}{', verified' if line.exchange in verified else ''}")
    return {
        "request_id": submitted.request_id,
        "conclusion": wire.trail.Conclusion.Name(answer.conclusion).removeprefix("CONCLUSION_"),
        "answers": {line.exchange: names(line.answer).removeprefix("ANSWER_") for line in answer.lines},
        "verified": sorted(verified),
    }


def watch(arguments: argparse.Namespace, wire, asker: Door, approver: Door) -> dict:
    """Follow the money and freeze what arrives: one asks, another approves."""
    stolen = [wire.authorisation.AssetAmount(asset=asset, amount=amount) for asset, amount in arguments.stolen]
    wanted = wire.request.Watch(
        root=target(wire, arguments.root),
        stolen=stolen,
        standing_freeze=wire.request.StandingFreezeTerms(caps=stolen),
    )
    wanted.period.seconds, wanted.standing_freeze.freeze_period.seconds = 6 * DAY, 30 * DAY
    submitted = asker.submit(content(arguments, wire, watch=wanted))
    expect(submitted.state == wire.request.REQUEST_STATE_AWAITING_APPROVAL, "a standing freeze did not wait")
    expect(submitted.approvals_needed >= 1 and not submitted.watch_id, "a standing freeze needs no approval")

    refused(lambda: asker.approve(submitted.request_id), "SELF_APPROVAL", grpc.StatusCode.PERMISSION_DENIED)
    told("who asked may not approve: SELF_APPROVAL")
    approved = approver.approve(submitted.request_id)
    expect(bool(approved.watch_id), "an approved watch has no id")
    roles = [decision.role for decision in approved.decisions]
    a = wire.authorisation
    expect(roles == [a.DECISION_ROLE_REQUESTED, a.DECISION_ROLE_APPROVED], f"decided by {roles}")

    updates, resumed_after = follow_broken(wire, asker, submitted.request_id)
    seen = asker.call("GetWatch", watch_id=approved.watch_id, purpose=PURPOSE).watch
    expect(seen.state == wire.trail.WATCH_STATE_ACTIVE, "the watch is not active")
    expect(seen.root.account == approved.content.watch.root.account, "the watch is on another account")
    return {
        "request_id": submitted.request_id,
        "watch_id": approved.watch_id,
        "active_after_block": seen.active_after_block,
        "updates": updates,
        "resumed_after": resumed_after,
    }


def follow_broken(wire, asker: Door, request_id: str) -> tuple[int, int]:
    """Follows until the watch is active, over a stream broken after the first update; none is lost or comes twice."""
    active, in_effect = wire.trail.WATCH_STATE_ACTIVE, wire.request.REQUEST_STATE_IN_EFFECT
    reached = set()

    def is_last(update) -> bool:
        if update.WhichOneof("update") == "watch" and update.watch.state == active:
            reached.add("active")
        if update.WhichOneof("update") == "request" and update.request.state == in_effect:
            reached.add("in effect")
        return reached == {"active", "in effect"}

    before = asker.follow(request_id, lambda update: True)
    told(f"stream broken after {len(before)} update; resuming")
    after = asker.follow(request_id, is_last, cursor=before[-1].cursor)
    pieced = before + after

    cursors = [update.cursor for update in pieced]
    expect(len(set(cursors)) == len(cursors), "an update came twice")
    whole = asker.follow(request_id, lambda update: update.cursor == cursors[-1])
    expect(whole == pieced, "the resumed stream differs from an unbroken one")
    states = [update.request.state for update in pieced if update.WhichOneof("update") == "request"]
    r = wire.request
    expected = [r.REQUEST_STATE_AWAITING_APPROVAL, r.REQUEST_STATE_APPROVED, r.REQUEST_STATE_IN_EFFECT]
    expect(states == expected, f"the request went through {states}")
    return len(pieced), len(before)


def faulty(arguments: argparse.Namespace, wire, asker: Door) -> int:
    """Everything that is wrong with a request is said at once."""
    mistyped = "eip155:1:0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    wanted = wire.request.Watch(
        root=target(wire, mistyped), stolen=[wire.authorisation.AssetAmount(asset="USDT", amount="1.5")]
    )
    wrong = content(arguments, wire, watch=wanted)
    wrong.case_number, wrong.legal_basis = "", "curiosity"
    wrong.exchanges.append("no-such-exchange")
    wrong.ClearField("officer")
    refusal = refused(lambda: asker.submit(wrong, "not-a-uuid"), "INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT)
    for field, reason, description in refusal.violations:
        told(f"  {field}: {reason}: {description}")
    found = {(field, reason) for field, reason, _ in refusal.violations}
    expected = {
        ("request_id", "FIELD_MALFORMED"),
        ("content.case_number", "FIELD_MISSING"),
        ("content.legal_basis", "UNKNOWN_LEGAL_BASIS"),
        ("content.officer", "FIELD_MISSING"),
        ("content.exchanges[0]", "UNKNOWN_EXCHANGE"),
        ("content.watch.root.account", "ADDRESS_CHECKSUM"),
        ("content.watch.stolen[0].asset", "ADDRESS_MALFORMED"),
        ("content.watch.stolen[0].amount", "AMOUNT_MALFORMED"),
        ("content.watch.period", "FIELD_MISSING"),
    }
    expect(expected <= found, f"not said: {sorted(expected - found)}")
    unpurposed = lambda: asker.call("ListRequests")  # noqa: E731
    refused(unpurposed, "PURPOSE_MISSING", grpc.StatusCode.INVALID_ARGUMENT)
    return len(refusal.violations)


def asset_amount(text: str) -> tuple[str, str]:
    asset, separator, amount = text.rpartition("=")
    if not separator:
        raise argparse.ArgumentTypeError("must be ASSET=AMOUNT, such as eip155:1/slip44:60=1000")
    return asset, amount


def exchange_key(text: str) -> tuple[str, evidence.PublicKey]:
    name, separator, file = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("must be EXCHANGE=FILE, such as upbit=upbit.pub.pem")
    return name, evidence.read_key(Path(file).read_bytes())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", action="store_true", help="only recompute the guide's worked examples")
    parser.add_argument("--stubs", type=Path, help="folder of generated code; generated anew where absent")
    parser.add_argument("--endpoint", action="append", help="host:port of intake; once for each replica")
    parser.add_argument("--server-name", default="intake", help="DNS name in intake's certificate")
    for name, what in [
        ("cert", "the system's certificate chain, PEM"),
        ("key", "its private key, PEM"),
        ("ca", "the authority of intake's certificate, PEM"),
        ("asker-token", "file with the token of who asks"),
        ("approver-token", "file with the token of who approves"),
    ]:
        parser.add_argument(f"--{name}", type=Path, help=what)
    parser.add_argument("--confirm", help="CAIP-10 account to ask exchanges about")
    parser.add_argument("--root", help="CAIP-10 account to start a watch from")
    parser.add_argument("--stolen", action="append", type=asset_amount, help="ASSET=AMOUNT, once for each asset")
    parser.add_argument(
        "--exchange-key",
        action="append",
        type=exchange_key,
        help="EXCHANGE=FILE, public key PEM; its answer is verified",
    )
    parser.add_argument("--case", default="2026-cyber-00412", help="case number")
    parser.add_argument("--basis", default="warrant", help="legal basis")
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait for what is followed")
    arguments = parser.parse_args()
    needed = [
        "endpoint",
        "cert",
        "key",
        "ca",
        "asker_token",
        "approver_token",
        "confirm",
        "root",
        "stolen",
        "exchange_key",
    ]
    missing = [name.replace("_", "-") for name in needed if not getattr(arguments, name)]
    if missing and not arguments.vectors:
        parser.error("missing: " + ", ".join(f"--{name}" for name in missing))
    return arguments


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.stubs or Path(temporary)
        if arguments.stubs is None:
            stubs.generate(folder)
        wire = stubs.load(folder)
        result: dict = {"ok": True, "vectors": vectors.check(wire)}
        if not arguments.vectors:
            asker = Door(arguments, wire, arguments.asker_token)
            approver = Door(arguments, wire, arguments.approver_token)
            result["violations"] = faulty(arguments, wire, asker)
            result["confirmation"] = confirm(arguments, wire, asker)
            result["watch"] = watch(arguments, wire, asker, approver)
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
