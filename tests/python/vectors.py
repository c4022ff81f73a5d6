"""Recomputes the guide's worked examples and opens its complete signed order, as an exchange would."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path

import evidence
from evidence import require

FILE = Path(__file__).with_name("vectors.json")


def check(wire) -> int:
    """How many examples hold; raises at the first that does not."""
    vectors = json.loads(FILE.read_text())
    for example in vectors["derived"]:
        found = evidence.derived(example["kind"], *example["parts"])
        require(found == example["id"], f"{example['kind']} id: {found}, expected {example['id']}")
    for example in vectors["log_id"]:
        require(evidence.log_id(example["origin"]) == example["id"], f"the id of log {example['origin']}")
    check_envelope(vectors["envelope"])
    check_leaf(vectors["leaf"])
    order = check_order(wire, vectors["order"])
    check_receipt(wire, vectors["receipt"], order, vectors["order"]["identity"])
    return len(vectors["derived"]) + len(vectors["log_id"]) + 4


def check_envelope(example: dict) -> None:
    key = evidence.read_key(example["public_key"].encode())
    message = evidence.pre_authentication_encoding(example["payload_type"], bytes.fromhex(example["payload"]))
    require(evidence.key_id(key) == example["key_id"], "the key id")
    require(message.hex() == example["pae"], "the pre-authentication encoding")
    signature = bytes.fromhex(example["signature"])
    require(evidence.verifies(key, evidence.ED25519, signature, message), "the signature")
    require(not evidence.verifies(key, evidence.ED25519, signature, message + b"."), "another message verifies")
    require(not evidence.verifies(key, evidence.ECDSA_P256_SHA256, signature, message), "another algorithm verifies")


def check_leaf(example: dict) -> None:
    salt, header, payload = (bytes.fromhex(example[name]) for name in ("salt", "header", "payload"))
    committed = evidence.commitment(salt, header, payload)
    data = evidence.leaf_data(example["kind"], example["version"], example["micros"], committed)
    require(committed.hex() == example["commitment"], "the commitment")
    require(data.hex() == example["data"], "the leaf's bytes")
    require(evidence.leaf_hash(data).hex() == example["hash"], "the leaf's hash")


def check_order(wire, example: dict):
    """The guide's list, in its order, for a freeze about a watch."""
    a, o = wire.authorisation, wire.order
    pinned = {purpose: evidence.read_key(pem.encode()) for purpose, pem in example["keys"].items()}

    def opened(bytes_: bytes, kind: str, purpose: str) -> bytes:
        key = pinned[purpose]
        envelope = wire.envelope.Envelope.FromString(bytes_)
        return evidence.open_envelope(envelope, kind, {evidence.key_id(key): key})

    signed = o.SignedOrder.FromString(base64.b64decode(example["signed_order"]))
    require(hashlib.sha256(signed.envelope).hexdigest() == example["identity"], "the order's identity")
    order = o.Order.FromString(opened(signed.envelope, "order", "freeze"))
    require(order.WhichOneof("desired") == "frozen" and order.recipient == example["exchange"], "not our freeze")
    authorisation = a.Authorisation.FromString(opened(order.authorisation, "authorisation", "authorise"))
    arrivals = [o.Arrival.FromString(opened(envelope, "arrival", "arrive")) for envelope in order.arrivals]
    asked = {d.person for d in authorisation.decisions if d.role == a.DECISION_ROLE_REQUESTED}
    approved = {d.person for d in authorisation.decisions if d.role == a.DECISION_ROLE_APPROVED}
    require(not asked & approved, "somebody approved what they asked for")
    check_within(wire, order, authorisation, arrivals)
    check_proof(signed, example)

    now = datetime.fromisoformat(example["now"])
    tolerance = timedelta(seconds=5)
    moment = lambda stamp: stamp.ToDatetime(tzinfo=now.tzinfo)  # noqa: E731
    require(now <= moment(order.expires_at) + tolerance, "the order has expired")
    require(moment(order.issued_at) <= now + tolerance, "the order is from the future")
    return order


def check_within(wire, order, authorisation, arrivals) -> None:
    a, o = wire.authorisation, wire.order
    nanos = lambda stamp: stamp.ToNanoseconds()  # noqa: E731
    line = authorisation.amends or authorisation.authorisation_id
    caps = {cap.asset: int(cap.amount) for cap in authorisation.caps}
    cap, frozen = int(order.frozen.cap), order.frozen
    leg = evidence.leg_id(line, order.recipient, order.target.account, order.target.memo, order.asset)
    require(order.recipient == authorisation.exchange and order.leg_id == leg, "exchange or leg")
    require(authorisation.WhichOneof("subject") == "watch", "not about a watch")
    require(a.ORDER_KIND_FREEZE in authorisation.permitted_kinds, "freezes are not permitted")
    require(authorisation.act != a.AUTHORISATION_ACT_CANCEL, "cancelled")
    times = (authorisation.valid_from, order.issued_at, authorisation.valid_until)
    require(sorted(times, key=nanos) == list(times), "outside the authorisation's time")
    require(nanos(order.issued_at) < nanos(order.expires_at), "expires before it is issued")
    require(0 < cap <= caps.get(order.asset, 0), "above the cap")
    require(nanos(order.issued_at) < nanos(frozen.until) <= nanos(authorisation.freeze_until), "too long")
    require(frozen.scope == o.FREEZE_SCOPE_CREDITS_OF_TRANSACTIONS and len(arrivals) > 0, "scope")
    require(len({arrival.arrival_id for arrival in arrivals}) == len(arrivals), "an arrival is named twice")
    for arrival in arrivals:
        moved = arrival.transfer
        derived = evidence.arrival_id(authorisation.watch.watch_id, moved.chain, moved.transaction, moved.index)
        require(arrival.arrival_id == derived, "the arrival's id")
        require(arrival.watch_id == authorisation.watch.watch_id, "an arrival of another watch")
        same = (arrival.exchange, arrival.target, arrival.asset) == (order.recipient, order.target, order.asset)
        require(same and int(arrival.traced_amount) <= int(arrival.amount), "an arrival of something else")
    require(cap <= sum(int(arrival.traced_amount) for arrival in arrivals), "more than arrived")


def check_proof(signed, example: dict) -> None:
    opening, inclusion = signed.opening, signed.inclusion
    require(opening.time.nanos % 1_000 == 0, "not whole microseconds")
    committed = evidence.commitment(opening.salt, opening.header, signed.envelope)
    data = evidence.leaf_data(opening.kind, opening.version, opening.time.ToMicroseconds(), committed)
    leaf = evidence.leaf_hash(data)
    checkpoint = evidence.Verifier.read(example["log"]["verifier"]).open(signed.checkpoint)
    require(inclusion.tree_size == checkpoint.size, "the proof is about another tree")
    root = evidence.root_over(leaf, inclusion.leaf_index, inclusion.tree_size, inclusion.hashes)
    require(root == checkpoint.root, "the leaf is not under the root")
    require((leaf.hex(), root.hex()) == (example["leaf_hash"], example["root"]), "leaf or root")


def check_receipt(wire, example: dict, order, identity: str) -> None:
    key = evidence.read_key(example["public_key"].encode())
    envelope = wire.envelope.Envelope.FromString(base64.b64decode(example["envelope"]))
    payload = evidence.open_envelope(envelope, "receipt", {evidence.key_id(key): key})
    receipt = wire.statement.Receipt.FromString(payload)
    report = receipt.report
    require(receipt.exchange == order.recipient, "the receipt of another exchange")
    require((report.leg_id, report.revision) == (order.leg_id, order.revision), "the receipt for another order")
    require(report.order_sha256.hex() == identity, "the receipt for other bytes")
