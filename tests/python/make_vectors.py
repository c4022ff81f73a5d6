"""Writes vectors.json: the guide's worked examples and one complete signed order, all from fixed keys and times.

The tree is built here by the recursive definition of RFC 6962, not by the code that checks paths."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

import evidence
import stubs

LINE = "0b8f6c1e-6f0e-4c55-9a43-2f1f6f3c9a10"
WATCH = "5d0c2a64-3a1b-4f7e-8c9d-7e6f5a4b3c21"
REQUEST = "c1f5a0de-91b2-4d7c-a3e4-5b6c7d8e9f01"
ACCOUNT = "eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ROOT = "eip155:1:0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
ASSET = "eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7"
TRANSACTION = "0x" + "ab" * 32
NOW = 1_772_442_000  # 2026-03-02T09:00:00Z
ORIGIN = "police.example/freeze"
DAY = 86_400


class Ed25519Signer:
    algorithm = evidence.ED25519

    def __init__(self, seed: int):
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


class P256Signer:
    algorithm = evidence.ECDSA_P256_SHA256

    def __init__(self, secret: int):
        self.key = ec.derive_private_key(secret, ec.SECP256R1())

    def sign(self, message: bytes) -> bytes:
        der = self.key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


KEYS = {
    "authorise": Ed25519Signer(1),
    "arrive": Ed25519Signer(2),
    "freeze": P256Signer(0x1234567890ABCDEF),
    "exchange": Ed25519Signer(4),
}
LOG = Ed25519Signer(7)


def pem(signer) -> str:
    public = signer.key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def seal(wire, kind: str, message, signer) -> bytes:
    payload_type, payload = evidence.PAYLOAD % kind, message.SerializeToString(deterministic=True)
    signature = wire.envelope.Signature(
        key_id=evidence.key_id(signer.key.public_key()),
        algorithm=signer.algorithm,
        signature=signer.sign(evidence.pre_authentication_encoding(payload_type, payload)),
    )
    envelope = wire.envelope.Envelope(payload_type=payload_type, payload=payload, signatures=[signature])
    return envelope.SerializeToString(deterministic=True)


def root_of(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return evidence.node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


def path_to(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*path_to(index, leaves[:split]), root_of(leaves[split:])]
    return [*path_to(index - split, leaves[split:]), root_of(leaves[:split])]


def sign_note(body: str, signer: Ed25519Signer) -> tuple[str, str]:
    """The note and the log's verifier key."""
    key = b"\x01" + signer.key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n" + key).digest()[:4]
    signature = base64.b64encode(key_id + signer.sign(body.encode())).decode()
    verifier = f"{ORIGIN}+{key_id.hex()}+{base64.b64encode(key).decode()}"
    return f"{body}\n— {ORIGIN} {signature}\n", verifier


def authorisation(wire):
    a = wire.authorisation
    message = a.Authorisation(
        authorisation_id=LINE,
        act=a.AUTHORISATION_ACT_GRANT,
        amendment=1,
        exchange="upbit",
        request_id=REQUEST,
        case=a.Case(agency="knp", unit="cyber-1", number="2026-cyber-00412"),
        legal_basis=a.LegalBasis(basis="warrant", citation="Criminal Procedure Act, Article 215"),
        permitted_kinds=[a.ORDER_KIND_CONFIRM_ADDRESS, a.ORDER_KIND_FREEZE],
        watch=a.WatchSubject(watch_id=WATCH, root=a.Target(account=ROOT)),
        caps=[a.AssetAmount(asset=ASSET, amount="500000000")],
        confidentiality=a.Confidentiality(deferral_ground="the rest would be moved"),
        officer=a.Officer(
            name="Kim Ji-woo",
            title="Inspector",
            address="97 Tongil-ro, Seodaemun-gu, Seoul",
            email="ji-woo@police.example",
            phone="+82-2-3150-0000",
        ),
        decisions=[
            a.Decision(role=a.DECISION_ROLE_REQUESTED, person="knp-1041"),
            a.Decision(role=a.DECISION_ROLE_APPROVED, person="knp-0007"),
        ],
        budgets=a.Budgets(max_questions=100, max_legs_per_hour=10),
    )
    document = message.legal_basis.document
    document.number, document.issuer = "2026-10412", "Seoul Central District Court"
    document.sha256 = hashlib.sha256(b"the warrant").digest()
    document.issued_at.seconds, document.valid_until.seconds = NOW - DAY, NOW + 7 * DAY
    message.valid_from.seconds, message.valid_until.seconds = NOW, NOW + 6 * DAY
    message.freeze_until.seconds = NOW + 30 * DAY
    message.confidentiality.notice_due.seconds = NOW + 30 * DAY
    message.decisions[0].at.seconds, message.decisions[1].at.seconds = NOW - 60, NOW
    message.issued_at.seconds = NOW
    return message


def arrival(wire):
    o = wire.order
    message = o.Arrival(
        arrival_id=evidence.arrival_id(WATCH, "eip155:1", TRANSACTION, "log/0"),
        watch_id=WATCH,
        transfer=o.Transfer(chain="eip155:1", transaction=TRANSACTION, index="log/0"),
        target=wire.authorisation.Target(account=ACCOUNT),
        exchange="upbit",
        asset=ASSET,
        amount="300000000",
        traced_amount="250000000",
        block_number=21_000_000,
        block_hash="0x" + "cd" * 32,
        wallet_role=o.WALLET_ROLE_CUSTOMER_DEPOSIT,
    )
    message.seen_at.seconds = NOW + 3_600
    return message


def order(wire, authorised: bytes, arrived: bytes):
    o = wire.order
    message = o.Order(
        recipient="upbit",
        leg_id=evidence.leg_id(LINE, "upbit", ACCOUNT, "", ASSET),
        revision=1,
        target=wire.authorisation.Target(account=ACCOUNT),
        asset=ASSET,
        frozen=o.Frozen(cap="250000000", scope=o.FREEZE_SCOPE_CREDITS_OF_TRANSACTIONS),
        authorisation=authorised,
        arrivals=[arrived],
    )
    message.frozen.until.seconds = NOW + 30 * DAY
    message.issued_at.seconds, message.expires_at.seconds = NOW + 3_601, NOW + 3_901
    return message


def signed_order(wire) -> dict:
    authorised = seal(wire, "authorisation", authorisation(wire), KEYS["authorise"])
    arrived = seal(wire, "arrival", arrival(wire), KEYS["arrive"])
    envelope = seal(wire, "order", order(wire, authorised, arrived), KEYS["freeze"])

    header = wire.log.Header(stream="leg/1", subject="watch/1", actor="service:freeze", audience="upbit")
    opening = wire.log.LeafOpening(kind="order", version=1, header=header.SerializeToString(), salt=bytes(range(32)))
    opening.time.seconds, opening.time.nanos = NOW + 3_601, 123_456_000
    micros = (NOW + 3_601) * 1_000_000 + 123_456
    committed = evidence.commitment(opening.salt, opening.header, envelope)
    leaves = [evidence.leaf_hash(b"leaf %d" % number) for number in range(5)]
    leaves[3] = evidence.leaf_hash(evidence.leaf_data(opening.kind, opening.version, micros, committed))
    path = path_to(3, leaves)
    note, verifier = sign_note(f"{ORIGIN}\n5\n{base64.b64encode(root_of(leaves)).decode()}\n", LOG)
    signed = wire.order.SignedOrder(
        envelope=envelope,
        opening=opening,
        inclusion=wire.log.InclusionProof(leaf_index=3, tree_size=5, hashes=path),
        checkpoint=note,
    )
    return {
        "exchange": "upbit",
        "now": "2026-03-02T10:00:02Z",
        "keys": {purpose: pem(KEYS[purpose]) for purpose in ("authorise", "arrive", "freeze")},
        "log": {"service": "freeze", "verifier": verifier},
        "identity": hashlib.sha256(envelope).hexdigest(),
        "leaf_hash": leaves[3].hex(),
        "root": root_of(leaves).hex(),
        "signed_order": base64.b64encode(signed.SerializeToString(deterministic=True)).decode(),
    }


def receipt(wire, order_sha256: str) -> dict:
    s = wire.statement
    message = s.Receipt(
        exchange="upbit",
        report=s.LegReport(
            leg_id=evidence.leg_id(LINE, "upbit", ACCOUNT, "", ASSET),
            revision=1,
            order_sha256=bytes.fromhex(order_sha256),
            state=s.LEG_STATE_BINDING,
            frozen_amount="0",
            holder_reference="h-81f2",
        ),
    )
    message.at.seconds = NOW + 3_602
    return {
        "public_key": pem(KEYS["exchange"]),
        "envelope": base64.b64encode(seal(wire, "receipt", message, KEYS["exchange"])).decode(),
    }


def small() -> dict:
    """What can be followed by eye."""
    ids = [
        ("leg", [LINE, "upbit", ACCOUNT, "", ASSET]),
        ("leg", [LINE, "upbit", ACCOUNT, "", ""]),
        ("leg", [LINE, "bithumb", ACCOUNT, "10442", ASSET]),
        ("arrival", [WATCH, "eip155:1", TRANSACTION, "log/0"]),
        ("hop", [WATCH, "eip155:1", TRANSACTION, "native"]),
        ("leg", ["a", "b"]),
    ]
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    payload_type = evidence.PAYLOAD % "receipt"
    message = evidence.pre_authentication_encoding(payload_type, b"hello")
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    salt, header, payload = bytes(range(32)), b"stream=leg-1", b"payload bytes"
    committed = evidence.commitment(salt, header, payload)
    data = evidence.leaf_data("freeze.leg.ordered.v1", 7, 1_767_225_600_123_456, committed)
    return {
        "derived": [{"kind": kind, "parts": parts, "id": evidence.derived(kind, *parts)} for kind, parts in ids],
        "log_id": [{"origin": origin, "id": evidence.log_id(origin)} for origin in ("haetae.example/freeze", ORIGIN)],
        "envelope": {
            "public_key": key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            "key_id": evidence.key_id(key),
            "payload_type": payload_type,
            "payload": b"hello".hex(),
            "pae": message.hex(),
            "signature": signer.sign(message).hex(),
        },
        "leaf": {
            "kind": "freeze.leg.ordered.v1",
            "version": 7,
            "micros": 1_767_225_600_123_456,
            "salt": salt.hex(),
            "header": header.hex(),
            "payload": payload.hex(),
            "commitment": committed.hex(),
            "data": data.hex(),
            "hash": evidence.leaf_hash(data).hex(),
        },
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stubs.generate(Path(folder))
        wire = stubs.load(Path(folder))
        vectors = small()
        vectors["order"] = signed_order(wire)
        vectors["receipt"] = receipt(wire, vectors["order"]["identity"])
    file = Path(__file__).with_name("vectors.json")
    file.write_text(json.dumps(vectors, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
