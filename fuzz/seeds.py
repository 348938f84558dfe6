"""What each fuzz target begins with, made of what the tests have: `python3 fuzz/seeds.py FOLDER`."""

from __future__ import annotations

import base64
import json
import random
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VECTORS = json.loads((ROOT / "tests/vectors/tkc1.json").read_text())


def documents() -> list[bytes]:
    """Those of the README and of the tests."""
    members = '"limits": {"max_value_bytes": 1024}, "l1": {"capacity_bytes": 65536}, "logging": {"to": "none"}'
    redis = '"l2": {"kind": "redis", "url": "rediss://user@cache:6380/0", "key_prefix": "orders:"}'
    ring = json.dumps(json.loads(rings()[0]))
    made = [
        "{%s}" % '"version": 1',
        '{"version": 1, %s}' % members,
        '{"version": 1, %s, "encryption": {"algorithm": "none"}, "resilience": {"deadline_ms": 300}}' % redis,
        '{"version": 1, %s, "encryption": {"algorithm": "aes-256-gcm", "keyring": %s}}' % (redis, ring),
    ]
    readme = (ROOT / "README.md").read_text()
    found = re.findall(r"```json\n(.*?)```", readme, re.S)
    return [text.encode() for text in made + found]


def words() -> list[str]:
    """The names of the members, for the dictionary of the fuzzer."""
    pointers = re.findall(r'"(/[a-z0-9_/]+)"', (ROOT / "src/config/members.rs").read_text())
    return sorted({name for pointer in pointers for name in pointer.split("/") if name})


def rings() -> list[bytes]:
    def ring(*keys: dict) -> bytes:
        return json.dumps({"version": 1, "keys": list(keys)}).encode()

    active = {"id": VECTORS["key_id"], "state": "active", "material": VECTORS["key"]}
    other = base64.b64encode(bytes(range(32))).decode()
    retired = {"created": "2026-01-31T12:00:00Z", "state": "retired", "material": other}
    revoked = {"id": "00" * 16, "state": "revoked"}
    wrapped = {"to": "ab" * 32, "algorithm": "rsa-oaep-sha256", "data": base64.b64encode(bytes(256)).decode()}
    for_others = {"id": "01" * 16, "state": "active", "wrapped": [wrapped]}
    return [ring(active), ring(active, retired, revoked), ring(for_others, retired), ring(revoked)]


def envelopes() -> list[bytes]:
    sealed = [base64.b64decode(entry["envelope"]) for entry in VECTORS["entries"]]
    plain = [path.read_bytes() for path in sorted((ROOT / "tests/fixtures/msal").glob("*.json"))[:3]]
    return [bytes_ for bytes_ in sealed + plain + [b"\x09\xf0\xc9\xf0" + bytes(40)] if len(bytes_) <= 4096]


def hashes() -> list[bytes]:
    """As `arbitrary` takes them apart: two numbers, and four fields that may be missing, each a list of bytes."""

    def field(text: str | None) -> bytes:
        if text is None:
            return b"\x00"
        return b"\x01" + b"".join(bytes((1, byte)) for byte in bytes.fromhex(text)) + b"\x00"

    made = []
    for entry in json.loads((ROOT / "tests/fixtures/redis/odd-entries.json").read_text())["entries"]:
        fields = entry.get("fields_hex") or {}
        numbers = int(entry.get("pttl_ms") or -1).to_bytes(8, "little", signed=True) + bytes(8)
        made.append(numbers + b"".join(field(fields.get(name)) for name in ("absexp", "sldexp", "data", "ver")))
    return made


def noise(count: int, length: int) -> list[bytes]:
    """For what is made up of choices: any bytes are some."""
    source = random.Random(1)
    return [source.randbytes(source.randrange(length // 8, length)) for _ in range(count)]


SEEDS = {
    "document": documents,
    "key_ring": rings,
    "envelope": envelopes,
    "redis_hash": hashes,
    "journal_file": lambda: noise(60, 600),
    "abi": lambda: noise(120, 1200),
}


def main() -> None:
    folder = Path(sys.argv[1])
    for target, seeds in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / target / f"{number:03}").write_bytes(seed)
    (folder / "document.dict").write_text("".join(f'"\\"{word}\\""\n' for word in words()))


if __name__ == "__main__":
    main()
