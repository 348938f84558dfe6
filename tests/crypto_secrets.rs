//! Where the bytes of a key are in memory: in their own pages while a ring is there, and nowhere after it. The key is
//! made by another process and known to this one only under a mask, so that looking for it does not put it there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use tokencache::config::Config;
use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{self, Ring, files};
use zeroize::{Zeroize, Zeroizing};

#[path = "support/crypto.rs"]
mod support;
use support::{HERE, STAMP};

const MASK: u8 = 0x55;
const PAGE: u64 = 4096;

/// Writes a ring to `path`, and answers its key and the base64 of it, masked.
fn make_ring(path: &Path) -> [Vec<u8>; 2] {
    let script = r#"
import base64, json, os, sys
key = os.urandom(32)
text = base64.b64encode(key)
with open(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
    json.dump({"version": 1, "keys": [{"state": "active", "material": text.decode()}]}, file)
print(*(bytes(byte ^ 0x55 for byte in it).hex() for it in (key, text)))
"#;
    let output = Command::new("python3").args(["-c", script]).arg(path).output().expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("hex");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    let words: Vec<Vec<u8>> =
        text.split_whitespace().map(|word| word.as_bytes().chunks(2).map(byte).collect()).collect();
    words.try_into().expect("two words")
}

/// How often one of the masked `needles` is in the writable memory of this process; `dumped`: in what a core dump has.
fn hits(needles: &[Vec<u8>], dumped: bool) -> usize {
    // One at a time: what the look of another test has just read would be found by this one.
    static LOOK: Mutex<()> = Mutex::new(());
    let _alone = LOOK.lock();
    let memory = File::open("/proc/self/mem").expect("Linux");
    let maps = fs::read_to_string("/proc/self/smaps").expect("Linux");
    let mut regions: Vec<(u64, u64, bool)> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split(' ');
        let range = words.next().and_then(|range| range.split_once('-'));
        if let Some((from, to)) = range.filter(|_| words.next().is_some_and(|it| it.starts_with("rw"))) {
            let number = |text| u64::from_str_radix(text, 16).expect("an address");
            regions.push((number(from), number(to), true));
        } else if let (Some(flags), Some(last)) = (line.strip_prefix("VmFlags:"), regions.last_mut()) {
            let is_writable = flags.split(' ').any(|flag| flag == "wr");
            last.2 &= !(is_writable && flags.split(' ').any(|flag| flag == "dd"));
        }
    }
    let mut chunk = vec![0; 1 << 16];
    // What is read lies in this very memory, and is not counted again when the look comes to it.
    let own = chunk.as_ptr() as u64..chunk.as_ptr() as u64 + chunk.len() as u64;
    let is =
        |window: &[u8], needle: &[u8]| window.iter().zip(needle).all(|(byte, masked)| byte ^ MASK == *masked);
    let mut found = 0;
    for (from, to, is_dumped) in regions {
        let mut at = from;
        while at < to && (is_dumped || !dumped) {
            let Ok(read @ 1..) = memory.read_at(&mut chunk, at) else {
                // Another test's pages, which were one region with what follows, and are gone by now.
                at = (at / PAGE + 1) * PAGE;
                continue;
            };
            let part = &chunk[..read.min(usize::try_from(to - at).expect("a size"))];
            for needle in needles {
                let starts = part.windows(needle.len()).enumerate().filter(|(_, window)| is(window, needle));
                found += starts.filter(|(start, _)| !own.contains(&(at + *start as u64))).count();
            }
            // Overlapping by less than the longest needle, so that nothing is missed at a border.
            let end = at + part.len() as u64;
            at = if end >= to || part.len() < 64 { end } else { end - 43 };
        }
    }
    chunk.zeroize();
    found
}

#[test]
fn a_key_is_in_its_own_pages_while_there_is_a_ring_and_nowhere_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ring.json");
    let needles = make_ring(&path);
    let ring = {
        let file = files::read(&path, true).expect("a private file");
        Ring::parse(&file.text, "The key ring", &UnwrapKeys::none()).expect("a ring")
    };
    let sealed = crypto::seal(&ring, &HERE, &STAMP, b"a token").expect("memory");
    assert_eq!(
        &crypto::open(&ring, &HERE, &sealed).map_err(|why| why.to_string()).expect("opened").bytes[..],
        b"a token"
    );
    assert_eq!(hits(&needles, false), 1, "the key itself, once");
    assert_eq!(hits(&needles, true), 0, "in what a core dump would have");
    drop(ring);
    assert_eq!(hits(&needles, false), 0, "after the ring");
}

#[test]
fn a_ring_that_is_refused_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ring.json");
    let needles = make_ring(&path);
    let file = files::read(&path, true).expect("a private file");
    let unwrap = UnwrapKeys::none();
    let cut = &file.text[..file.text.len() - 1];
    assert!(Ring::parse(cut, "The key ring", &unwrap).is_err());
    drop(file);
    assert_eq!(hits(&needles, false), 0);
}

#[test]
fn a_ring_in_the_document_is_gone_with_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ring.json");
    let needles = make_ring(&path);
    {
        let file = files::read(&path, true).expect("a private file");
        let before = br#"{"version": 1, "encryption": {"algorithm": "aes-256-gcm", "keyring": "#;
        let mut document = Zeroizing::new(Vec::with_capacity(before.len() + file.text.len() + 2));
        for part in [&before[..], file.text.as_bytes(), b"}}"] {
            document.extend_from_slice(part);
        }
        let config = Config::parse(&document).expect("accepted");
        let text = config.encryption.keyring.as_ref().expect("a ring").read().expect("inline");
        drop(Ring::parse(&text, "The key ring", &UnwrapKeys::none()).expect("a ring"));
    }
    assert_eq!(hits(&needles, false), 0);
}
