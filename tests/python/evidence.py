"""Checks of signed messages and proofs, as the guide to the contracts states their bytes. Needs no server and no stubs:
an envelope is anything with `payload_type`, `payload` and `signatures`."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

DERIVED = uuid.UUID("68616574-6165-5000-8000-000000000001")
LOGS = uuid.UUID("23ca122c-195f-5364-8c30-1f1b5e908124")

PAYLOAD = "application/vnd.haetae.%s.v1+protobuf"
ED25519 = 1
ECDSA_P256_SHA256 = 2

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class NotBelieved(Exception):
    """A signature, proof or checkpoint that does not hold."""


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotBelieved(otherwise)


# Derived ids.


def uuid5(namespace: uuid.UUID, name: bytes) -> str:
    """UUIDv5 over bytes; the standard library's own takes text only in older versions."""
    return str(uuid.UUID(bytes=hashlib.sha1(namespace.bytes + name).digest()[:16], version=5))


def derived(kind: str, *parts: str) -> str:
    texts = [text.encode() for text in (kind, *parts)]
    return uuid5(DERIVED, b"".join(len(text).to_bytes(8, "big") + text for text in texts))


def leg_id(line: str, exchange: str, account: str, memo: str = "", asset: str = "") -> str:
    return derived("leg", line, exchange, account, memo, asset)


def arrival_id(watch: str, chain: str, transaction: str, index: str) -> str:
    return derived("arrival", watch, chain, transaction, index)


def log_id(origin: str) -> str:
    return uuid5(LOGS, origin.encode())


# Envelopes.


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def read_key(pem: bytes) -> PublicKey:
    key = serialization.load_pem_public_key(pem)
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    require(p256 or isinstance(key, ed25519.Ed25519PublicKey), "the key is neither Ed25519 nor ECDSA P-256")
    return key


def key_id(key: PublicKey) -> str:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()[:16].hex()


def verifies(key: PublicKey, algorithm: int, signature: bytes, message: bytes) -> bool:
    """The algorithm is the key's; what the signature names must be the same."""
    if len(signature) != 64:
        return False
    try:
        if isinstance(key, ed25519.Ed25519PublicKey) and algorithm == ED25519:
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm == ECDSA_P256_SHA256:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def open_envelope(envelope, kind: str, keys: Mapping[str, PublicKey]) -> bytes:
    """The payload, if every signature is by one of these keys, which are those pinned for the purpose."""
    require(envelope.payload_type == PAYLOAD % kind, f"signed as {envelope.payload_type!r}, not as {kind}")
    require(len(envelope.signatures) > 0, "nobody has signed")
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    seen: set[str] = set()
    for signature in envelope.signatures:
        require(signature.key_id not in seen, "a key has signed twice")
        seen.add(signature.key_id)
        key = keys.get(signature.key_id)
        require(key is not None, f"key {signature.key_id} is not pinned for this")
        valid = verifies(key, signature.algorithm, signature.signature, message)
        require(valid, f"the signature of key {signature.key_id} does not verify")
    return envelope.payload


# Logs.


def commitment(salt: bytes, header: bytes, payload: bytes) -> bytes:
    require(len(salt) == 32, "a salt has 32 bytes")
    return hashlib.sha256(salt + len(header).to_bytes(4, "big") + header + payload).digest()


def leaf_data(kind: str, version: int, micros: int, committed: bytes) -> bytes:
    name = kind.encode()
    return b"".join(
        (
            b"haetae-leaf-v1\n",
            len(name).to_bytes(2, "big"),
            name,
            version.to_bytes(8, "big"),
            micros.to_bytes(8, "big", signed=True),
            committed,
        )
    )


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_over(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to (RFC 9162, section 2.1.3.2)."""
    require(index < size, "the leaf is not in a tree of this size")
    here, last, root = index, size - 1, leaf
    for sibling in path:
        require(last > 0, "the path is too long")
        if here & 1 or here == last:
            root = node_hash(sibling, root)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        here, last = here >> 1, last >> 1
    require(last == 0, "the path is too short")
    return root


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


class Verifier(NamedTuple):
    """A log's name and key, read from `name+id+key`."""

    origin: str
    key_id: bytes
    key: ed25519.Ed25519PublicKey

    @classmethod
    def read(cls, text: str) -> Verifier:
        origin, stated, key = text.split("+", 2)
        key = base64.b64decode(key, validate=True)
        require(key[0] == 1 and len(key) == 33, "the log's key is not Ed25519")
        found = hashlib.sha256(origin.encode() + b"\n" + key).digest()[:4]
        require(found.hex() == stated, "the id is not that of the log's key")
        return cls(origin, found, ed25519.Ed25519PublicKey.from_public_bytes(key[1:]))

    def open(self, note: str) -> Checkpoint:
        """What the log has signed of itself. Signatures of others are passed over."""
        text, separator, signatures = note.rpartition("\n\n")
        require(bool(separator) and signatures.endswith("\n"), "not a signed note")
        text += "\n"
        signed = False
        for line in signatures[:-1].split("\n"):
            require(line.startswith("— ") and line.count(" ") == 2, "not a signature line")
            _, name, blob = line.split(" ")
            blob = base64.b64decode(blob, validate=True)
            if (name, blob[:4]) == (self.origin, self.key_id):
                try:
                    self.key.verify(blob[4:], text.encode())
                except InvalidSignature:
                    raise NotBelieved("the log's signature does not verify") from None
                signed = True
        require(signed, "the log has not signed this")
        lines = text[:-1].split("\n")
        require(len(lines) >= 3 and all(lines) and lines[1].isdigit(), "not a checkpoint")
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        require(str(size) == lines[1] and len(root) == 32, "not a checkpoint")
        require(origin == self.origin, "the log speaks of another")
        return Checkpoint(origin, size, root)
