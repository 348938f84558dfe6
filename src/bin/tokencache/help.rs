//! What `--help` says.

#![forbid(unsafe_code)]

pub const BRIEF: &str = "Say what is to be done, such as tokencache keys show FILE. Try tokencache --help.";

pub const VERSION: &str = concat!("tokencache ", env!("CARGO_PKG_VERSION"), "\n");

pub const MAIN: &str = "\
tokencache keys COMMAND: the key ring that seals the entries of a cache

A key ring is a JSON file. One of its keys is active: it seals, and opens. Any number are retired:
they open what they sealed. What is revoked opens nothing. Every machine that shares an L2 needs the
same ring; an entry is opened only by a ring that has its key. The id of a key is made from the key
and tells nothing of it, so it may be shown.

Commands (tokencache keys COMMAND --help says more of each):
  generate                make a new ring
  show FILE               what is in a ring; never the keys themselves, unless asked
  check FILE              can it be used?
  check FILE FILE         can two machines read each other, and how long is an old key needed?
  stage FILE              add a new key, retired
  activate FILE ID        seal under this key from now on; the one before it is retired
  retire FILE ID          a key opens what it sealed, and seals nothing
  revoke FILE ID          a key opens nothing, and its material is dropped
  wrap FILE --to CERT     keep the keys such that only the owner of a certificate can open them
  protect FILE            seal a value: standard input to standard output
  unprotect FILE          open an envelope: standard input to standard output

A first ring:
  tokencache keys generate -o ring.json
  Copy it to every machine, and name it there in the configuration of the cache:
  \"encryption\": {\"algorithm\": \"aes-256-gcm\", \"keyring_file\": \"/run/secrets/ring.json\"}

A rotation, in steps, during which every entry can be read everywhere:
  1. tokencache keys stage ring.json          A new key, which opens and does not seal yet.
  2. Copy ring.json to every machine.         All of them can open what the new key will seal.
     tokencache keys check ring.json theirs.json
  3. tokencache keys activate ring.json ID    The new key seals, the old one is retired and still opens.
  4. Copy ring.json to every machine.         Until then the others seal under the old key, and that is well.
  5. Wait until the last entry under the old key has ended; keys check says until when.
  6. tokencache keys revoke ring.json ID      The old key is gone. Copy ring.json to every machine.
Activating before everybody has the new key is how one machine writes what another cannot read.

Protect on machine 1, unprotect on machine 2, to see whether their rings agree:
  1$ printf hello | tokencache keys protect ring.json --prefix orders: --key probe > probe.bin
  2$ tokencache keys unprotect ring.json --prefix orders: --key probe < probe.bin

Exit codes:
  0  done
  1  the answer is no: check found a mismatch, unprotect was refused
  2  the command line is wrong
  3  a file or a ring cannot be used

Files are written whole or not at all, with mode 0600. Colour only at a terminal, and without
NO_COLOR. tokencache --version says which version this is.
";

pub const GENERATE: &str = "\
tokencache keys generate [-o FILE | --ring FILE] [--to CERT.pem]...

Makes a new ring with one key, which is active. FILE is tokencache-keyring.json where nothing is
said; a file that is there already is never overwritten. One ring is made once and given to every
machine: two machines that each make their own cannot read each other.

  -o FILE, --ring FILE  where to write it
  --to CERT.pem         wrap the key for this certificate or public key (see tokencache keys wrap
                        --help); may be repeated

Example:
  tokencache keys generate -o ring.json

Exit codes: 0 made, 2 the command line is wrong, 3 the file is there already or cannot be written.
";

pub const SHOW: &str = "\
tokencache keys show FILE [--reveal-material] [--unwrap-key KEY.pem]...

Lists the keys of a ring: id, short and whole, state, when it was made, for whom it is wrapped. The
ids may be shown to anybody; the material of the keys is not printed.

  --reveal-material     print the material too, for a key vault; whoever sees it can open every
                        entry
  --unwrap-key KEY.pem  a private key that opens what is wrapped; may be repeated

Example:
  tokencache keys show ring.json

Exit codes: 0 shown, 2 the command line is wrong, 3 the file or the ring cannot be used.
";

pub const CHECK: &str = "\
tokencache keys check FILE [FILE] [--longest-ttl DAYS] [--unwrap-key KEY.pem]...

With one FILE: whether a cache can be opened with this ring, who can read its file, how old its keys
are, and how long the retired ones are needed. A file that its group or others can write is refused,
one that they can read is warned of.

With two: whether two machines can read each other. What one may have written is what its active key
seals, and what its retired keys sealed and may not have ended yet. When a key was retired is not in
a ring, so an old key is counted as needed until DAYS after the key that followed it was made; add
the days until that one was activated. What is revoked is not counted as having followed.

  --longest-ttl DAYS    how long your longest-lived entry lives: 14 where nothing is said
  --unwrap-key KEY.pem  a private key that opens what is wrapped; may be repeated. Without one,
                        wrapped keys are compared by their ids

Example:
  scp web-02:/run/secrets/ring.json theirs.json && tokencache keys check ring.json theirs.json

Exit codes: 0 yes, 1 no: one cannot read the other, or no private key given opens a key; 2 the
command line is wrong, 3 the file or the ring cannot be used.
";

pub const STAGE: &str = "\
tokencache keys stage FILE [--to CERT.pem]...

The first step of a rotation: adds a new key, retired. It opens, and does not seal, so nothing
changes yet. Copy the file to every machine; when all of them have it, tokencache keys activate goes
on.

  --to CERT.pem         wrap the new key for this certificate or public key; may be repeated. Needed
                        where the others are wrapped

Example:
  tokencache keys stage ring.json

Exit codes: 0 added, 2 the command line is wrong, 3 the file or the ring cannot be used.
";

pub const ACTIVATE: &str = "\
tokencache keys activate FILE ID

The second step of a rotation: ID seals from now on, and the key that did is retired: it opens what
it sealed. ID may be the beginning of an id, as long as it is the only one. Activate a staged key
only when every machine has it; going back to the key before is the same command with its ID.

Example:
  tokencache keys activate ring.json 22bd04ee

Exit codes: 0 it is active, 2 the command line is wrong, 3 there is no such key, it is revoked, or
the file or the ring cannot be used.
";

pub const RETIRE: &str = "\
tokencache keys retire FILE ID

ID opens what it sealed, and seals nothing. activate retires the key before by itself; this mends a
ring in which two keys are active. The only active key cannot be retired: activate another first. ID
may be the beginning of an id.

Example:
  tokencache keys retire ring.json 7f3a9c01

Exit codes: 0 it is retired, 2 the command line is wrong, 3 it is the active key, it is revoked,
there is no such key, or the file or the ring cannot be used.
";

pub const REVOKE: &str = "\
tokencache keys revoke FILE ID

The last step of a rotation, or the first when a key has leaked: ID opens nothing any more, and its
material is dropped from the file. There is no way back: entries under it that have not ended stay
shut, and are stored again by whoever needs them. tokencache keys check says until when they may be
there. The active key cannot be revoked: activate another first. ID may be the beginning of an id.

Example, after a leak:
  tokencache keys stage ring.json, activate the new key, revoke the old one, copy ring.json to every machine

Exit codes: 0 it is revoked, 2 the command line is wrong, 3 it is the active key, there is no such
key, or the file or the ring cannot be used.
";

pub const WRAP: &str = "\
tokencache keys wrap FILE --to CERT.pem [--to CERT.pem]... [-o FILE] [--unwrap-key KEY.pem]...

Wraps every key of a ring (RSA-OAEP with SHA-256, 2048 to 4096 bits), so that the file is of use
only to those who have one of the private keys; encryption.unwrap_key_files names theirs to a cache.
A recipient is a public key: a renewed certificate of the same key opens what the old one did.
Whoever is not named with --to is left out, also where the key was wrapped for them before.

  --to CERT.pem         a certificate or a public key in PEM; may be repeated
  -o FILE               write a new file, and leave the old one; else it is replaced
  --unwrap-key KEY.pem  a private key (PKCS#8 or PKCS#1 in PEM, without a passphrase) for keys that
                        are wrapped already

Examples:
  tokencache keys wrap ring.json --to web-01.pem --to web-02.pem -o wrapped.json
  tokencache keys check wrapped.json --unwrap-key web-01.key
      (a key that is wrapped for nobody who is there is lost: try it before the old file goes)
  tokencache keys wrap wrapped.json --unwrap-key web-01.key --to web-01.pem --to web-03.pem

Exit codes: 0 wrapped, 2 the command line is wrong, 3 a file, a certificate or the ring cannot be
used.
";

pub const PROTECT: &str = "\
tokencache keys protect FILE --prefix PREFIX --key KEY [--unwrap-key KEY.pem]... [--force] < VALUE > ENVELOPE

Seals a value under the active key, as the cache seals an entry: for one l2.key_prefix and one cache
key. It opens there and nowhere else.

  --prefix PREFIX       l2.key_prefix; may be empty (--prefix '')
  --key KEY             the cache key
  --unwrap-key KEY.pem  a private key that opens what is wrapped; may be repeated
  --force               write the envelope, which is binary, to a terminal too

Example:
  printf hello | tokencache keys protect ring.json --prefix orders: --key probe > probe.bin

Exit codes: 0 sealed, 2 the command line is wrong, 3 the file or the ring cannot be used.
";

pub const UNPROTECT: &str = "\
tokencache keys unprotect FILE --prefix PREFIX --key KEY [--unwrap-key KEY.pem]... [--force] < ENVELOPE > VALUE

Opens an envelope that was sealed for this l2.key_prefix and this cache key, or says why it stays
shut: another ring, a revoked key, damage, another place, not an envelope at all. What cannot be
opened is never written.

  --prefix PREFIX       l2.key_prefix; may be empty (--prefix '')
  --key KEY             the cache key
  --unwrap-key KEY.pem  a private key that opens what is wrapped; may be repeated
  --force               write a binary value to a terminal too

Examples:
  tokencache keys unprotect ring.json --prefix orders: --key probe < probe.bin
  redis-cli --raw hget orders:user-a data | head -c -1 | tokencache keys unprotect ring.json --prefix orders: --key user-a
  (head drops the newline that redis-cli adds)

Exit codes: 0 opened, 1 refused, and standard error says why; 2 the command line is wrong, 3 the
file or the ring cannot be used.
";
