//! What bytes that are no envelope look like, because "it cannot be opened" helps nobody who meets a cache that was
//! written by something else.

#![forbid(unsafe_code)]

use std::fmt;

use super::key::hex;

/// What something looks like that is not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Nothing at all.
    Empty,
    /// A JSON object or list, such as an MSAL cache that was not encrypted.
    Json,
    /// A payload of ASP.NET Data Protection, and the guid of its key where it is long enough to have one, in the
    /// order in which .NET stores it.
    DataProtection(Option<[u8; 16]>),
    /// A gzip stream.
    Gzip,
    /// A Fernet token.
    Fernet,
    /// A file of age.
    Age,
    /// An envelope of ours in the suite without a key.
    Clear,
    /// Nothing that is known here.
    Unknown,
}

/// The first 28 bits; the last four are its version.
const DATA_PROTECTION: [u8; 4] = [0x09, 0xF0, 0xC9, 0xF0];

impl Foreign {
    /// What `bytes`, which are no envelope, look like.
    #[must_use]
    pub fn recognise(bytes: &[u8]) -> Foreign {
        let begins = |prefix: &[u8]| bytes.starts_with(prefix);
        let text =
            bytes.iter().position(|byte| !byte.is_ascii_whitespace()).map_or(&[][..], |at| &bytes[at..]);
        if bytes.is_empty() {
            Foreign::Empty
        } else if begins(&DATA_PROTECTION[..3]) && bytes.get(3).is_some_and(|byte| byte & 0xF0 == 0xF0) {
            Foreign::DataProtection(bytes[4..].first_chunk().copied())
        } else if begins(&[0x1F, 0x8B]) {
            Foreign::Gzip
        } else if begins(b"gAAA") {
            Foreign::Fernet
        } else if begins(b"age-encryption") || begins(b"-----BEGIN AGE ENCRYPTED FILE") {
            Foreign::Age
        } else if matches!(text.first(), Some(b'{' | b'[')) {
            Foreign::Json
        } else {
            Foreign::Unknown
        }
    }

    /// Whether it can be what a cache without encryption wrote. What others sealed is never handed out as if it were
    /// a value: that is how a wrong key becomes a complaint about JSON.
    #[must_use]
    pub fn may_be_plain(self) -> bool {
        matches!(self, Foreign::Empty | Foreign::Json | Foreign::Clear | Foreign::Unknown)
    }

    pub(super) fn way_out(self) -> &'static str {
        match self {
            Foreign::DataProtection(_) => {
                "It was written by a .NET service that encrypts with Data Protection; give this cache a /l2/key_prefix \
                 of its own, or let that service use this library."
            }
            Foreign::Empty | Foreign::Json | Foreign::Clear => {
                "It was written without encryption; for the time of a migration /encryption/accept_plaintext lets \
                 such entries be read."
            }
            Foreign::Unknown => {
                "Either it was written without encryption, and for the time of a migration \
                 /encryption/accept_plaintext lets such entries be read; or something else writes to this key, and \
                 this cache needs a /l2/key_prefix of its own."
            }
            Foreign::Gzip | Foreign::Fernet | Foreign::Age => {
                "Something else writes to this key; give this cache a /l2/key_prefix of its own."
            }
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Foreign::Empty => "is empty",
            Foreign::Json => "looks like plain JSON, such as an MSAL cache that was not encrypted",
            Foreign::DataProtection(Some(guid)) => {
                return write!(
                    formatter,
                    "looks like ASP.NET Data Protection, sealed under its key {}",
                    dotnet(guid)
                );
            }
            Foreign::DataProtection(None) => "looks like ASP.NET Data Protection, cut short",
            Foreign::Gzip => "looks like gzip",
            Foreign::Fernet => "looks like a Fernet token",
            Foreign::Age => "looks like a file of age",
            Foreign::Clear => "is an envelope in plain text, with a checksum",
            Foreign::Unknown => "looks like nothing that this library knows",
        })
    }
}

/// A guid as .NET writes it: its first three fields are stored with the least byte first.
fn dotnet(guid: &[u8; 16]) -> String {
    let reversed = |part: &[u8]| hex(&part.iter().rev().copied().collect::<Vec<_>>());
    let fields = [reversed(&guid[..4]), reversed(&guid[4..6]), reversed(&guid[6..8]), hex(&guid[8..10])];
    format!("{}-{}", fields.join("-"), hex(&guid[10..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_named() {
        let cases: [(&[u8], Foreign); 11] = [
            (b"", Foreign::Empty),
            (b"{\"AccessToken\":{}}", Foreign::Json),
            (b" \r\n[1]", Foreign::Json),
            (b"\x1F\x8B\x08\0", Foreign::Gzip),
            (b"gAAAAABm", Foreign::Fernet),
            (b"age-encryption.org/v1\n", Foreign::Age),
            (b"-----BEGIN AGE ENCRYPTED FILE-----\n", Foreign::Age),
            (b"\x09\xF0\xC9\xF0", Foreign::DataProtection(None)),
            (b"\x09\xF0\xC9\xF10123456789abcdef", Foreign::DataProtection(Some(*b"0123456789abcdef"))),
            (b"\x09\xF0\xC9\x000123456789abcdef", Foreign::Unknown),
            (b"plain text", Foreign::Unknown),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Foreign::recognise(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_guid_of_data_protection_is_shown_as_dotnet_shows_it() {
        let bytes =
            b"\x09\xF0\xC9\xF0\xA4\xA3\xA2\xA1\xB2\xB1\xC2\xC1\xD1\xD2\xE1\xE2\xE3\xE4\xE5\xE6, and more";
        let shown = Foreign::recognise(bytes).to_string();
        assert!(shown.ends_with("key a1a2a3a4-b1b2-c1c2-d1d2-e1e2e3e4e5e6"), "{shown}");
    }

    #[test]
    fn only_what_nobody_sealed_may_be_plain() {
        for sealed in [Foreign::DataProtection(None), Foreign::Gzip, Foreign::Fernet, Foreign::Age] {
            assert!(!sealed.may_be_plain(), "{sealed}");
        }
        assert!(Foreign::Json.may_be_plain());
    }
}
