//! The names of keys: an entry's own, those of its tombstone and its trace, and that of the place where a conditional write
//! waits. All lie under the cache's prefix, because an ACL allows no other, and in one slot of a cluster.

#![forbid(unsafe_code)]

use crate::l2::OWN;

/// What a cluster hashes of `key`: what stands between the first `{` and the next `}`, or all of it.
fn hashed(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    match key[open + 1..].iter().position(|byte| *byte == b'}') {
        Some(0) | None => key,
        Some(close) => &key[open + 1..open + 1 + close],
    }
}

/// The name of the tombstone of `key`, which begins with a prefix of `prefix_len` bytes.
pub(super) fn tombstone(key: &[u8], prefix_len: usize) -> Vec<u8> {
    beside(key, prefix_len, b"gone:")
}

/// The name of the trace of `key`, which begins with a prefix of `prefix_len` bytes.
pub(super) fn trace(key: &[u8], prefix_len: usize) -> Vec<u8> {
    beside(key, prefix_len, b"trace:")
}

fn beside(key: &[u8], prefix_len: usize, what: &[u8]) -> Vec<u8> {
    let (prefix, own) = key.split_at(prefix_len);
    let tag = tag(key, prefix).unwrap_or_default();
    [prefix, OWN, what, &tag, own].concat()
}

/// A name beside `key`, made unlike those of others by `unique`, in the same slot; `None` where no tag can say that slot.
/// Keys of one slot may share it: nothing stands there between two transactions.
pub(super) fn staging(key: &[u8], prefix_len: usize, unique: &str) -> Option<Vec<u8>> {
    let prefix = &key[..prefix_len];
    let name = [prefix, OWN, b"cas:", unique.as_bytes(), &tag(key, prefix)?].concat();
    (hashed(&name) == hashed(key)).then_some(name)
}

fn tag(key: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let hashed = hashed(key);
    // A prefix that holds the tag already puts everything under it into one slot.
    if self::hashed(prefix).len() != prefix.len() {
        return Some(Vec::new());
    }
    (!hashed.contains(&b'}') && !prefix.contains(&b'{')).then(|| [b"{", hashed, b"}"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_share_the_slot_of_their_entry() {
        for (prefix, own) in
            [("", "user"), ("orders:", "user"), ("o:", "{user}.a"), ("o:", "a{user}b{c}"), ("{o}:", "u{x}")]
        {
            let key = [prefix, own].concat();
            let staging = staging(key.as_bytes(), prefix.len(), "1").expect(&key);
            assert_eq!(hashed(&staging), hashed(key.as_bytes()), "{key}");
            for name in [tombstone, trace] {
                let name = name(key.as_bytes(), prefix.len());
                assert_eq!(hashed(&name), hashed(key.as_bytes()), "{key}");
                assert!(name.starts_with(prefix.as_bytes()) && name.ends_with(own.as_bytes()), "{key}");
            }
        }
    }

    #[test]
    fn a_slot_that_no_tag_can_say_has_no_staging() {
        for (prefix, own) in [("", "a}b"), ("", "{}a"), ("{", "a"), ("o:", "}"), ("{a", "b}c")] {
            let key = [prefix, own].concat();
            assert_eq!(staging(key.as_bytes(), prefix.len(), "1"), None, "{key}");
        }
    }
}
