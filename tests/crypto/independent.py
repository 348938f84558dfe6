"""The seal of Tokencache a second time, from its description: hashlib, hmac and the AES-GCM and RSA of `cryptography`.

Reads a JSON list of requests from standard input and writes the list of answers; bytes travel as base64.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER = 112
NONCE = bytes(12)


def extract(salt: bytes, key: bytes) -> bytes:
    return hmac.new(salt, key, hashlib.sha256).digest()


def expand(extracted: bytes, info: bytes, length: int) -> bytes:
    block, output, number = b"", b"", 1
    while len(output) < length:
        block = hmac.new(extracted, block + info + bytes([number]), hashlib.sha256).digest()
        output, number = output + block, number + 1
    return output[:length]


def key_id(key: bytes) -> bytes:
    return expand(extract(bytes(32), key), b"tokencache/key-id/1", 16)


def one_time(key: bytes, header: bytes, namespace: bytes, name: bytes) -> tuple[bytes, bytes]:
    """The key of one entry, and its commitment."""
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in (namespace, name))
    info = b"tokencache/envelope/1" + header[:48] + hashlib.sha256(parts).digest()
    both = expand(extract(header[48:80], key), info, 64)
    return both[:32], both[32:]


def seal(request: dict) -> dict:
    key, salt = request["key"], request["salt"]
    header = b"\xf6TKC\x01\x01" + request["flags"].to_bytes(2, "big") + key_id(key)
    for number in ("version", "created_at_ms", "expires_at_ms"):
        header += request[number].to_bytes(8, "big")
    header += salt
    once, commitment = one_time(key, header, request["namespace"], request["name"])
    header += commitment
    return {"envelope": header + AESGCM(once).encrypt(NONCE, request["value"], header)}


def open_(request: dict) -> dict:
    envelope, key = request["envelope"], request["key"]
    header = envelope[:HEADER]
    assert header[:6] == b"\xf6TKC\x01\x01", "not an envelope"
    assert header[8:24] == key_id(key), "another key"
    once, commitment = one_time(key, header, request["namespace"], request["name"])
    assert hmac.compare_digest(commitment, header[80:112]), "another context"
    return {
        "value": AESGCM(once).decrypt(NONCE, envelope[HEADER:], header),
        "flags": int.from_bytes(header[6:8], "big"),
        "version": int.from_bytes(header[24:32], "big"),
        "created_at_ms": int.from_bytes(header[32:40], "big"),
        "expires_at_ms": int.from_bytes(header[40:48], "big"),
    }


OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def recipient(public: rsa.RSAPublicKey) -> str:
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def certificate(key: rsa.RSAPrivateKey, serial: int) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orders")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(serial).not_valid_before(begin)
    builder = builder.not_valid_after(begin + datetime.timedelta(days=365))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def private_key(request: dict) -> dict:
    """A private key of RSA in both forms, its public key, and two certificates of it, the second a renewal."""
    key = rsa.generate_private_key(65537, request["bits"])

    def private(form: serialization.PrivateFormat) -> str:
        none = serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, form, none).decode()

    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "pkcs8": private(serialization.PrivateFormat.PKCS8),
        "pkcs1": private(serialization.PrivateFormat.TraditionalOpenSSL),
        "public": public.decode(),
        "certificates": [certificate(key, 1), certificate(key, 2)],
        "recipient": recipient(key.public_key()),
    }


def other_key(request: dict) -> dict:
    """A key that does not wrap: of an elliptic curve, or of RSA behind a passphrase."""
    if request["kind"] == "curve":
        key, cipher = ec.generate_private_key(ec.SECP256R1()), serialization.NoEncryption()
    else:
        key = rsa.generate_private_key(65537, 2048)
        cipher = serialization.BestAvailableEncryption(b"passphrase")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    form = serialization.PrivateFormat.PKCS8
    return {"pkcs8": key.private_bytes(serialization.Encoding.PEM, form, cipher).decode(), "public": public.decode()}


def wrap(request: dict) -> dict:
    public = x509.load_pem_x509_certificate(request["certificate"].encode()).public_key()
    return {"to": recipient(public), "data": public.encrypt(request["key"], OAEP)}


def unwrap(request: dict) -> dict:
    key = serialization.load_pem_private_key(request["pem"].encode(), None)
    return {"key": key.decrypt(request["data"], OAEP)}


BYTES = {"key", "salt", "namespace", "name", "value", "envelope", "data"}
ACTIONS = {
    "seal": seal,
    "open": open_,
    "private_key": private_key,
    "other_key": other_key,
    "wrap": wrap,
    "unwrap": unwrap,
}


def main() -> None:
    answers = []
    for request in json.load(sys.stdin):
        decoded = {name: base64.b64decode(it) if name in BYTES else it for name, it in request.items()}
        answer = ACTIONS[decoded.pop("do")](decoded)
        encoded = {name: base64.b64encode(it).decode() if name in BYTES else it for name, it in answer.items()}
        answers.append(encoded)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
