//! Where a secret comes from.

#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::reader::Settings;
use crate::regular::Regular;

/// Far longer than any user, password or key ring.
const MAX_BYTES: usize = 1 << 20;

/// Where a secret comes from. It is read again whenever it is needed.
#[derive(Clone, PartialEq)]
pub enum Source {
    /// The document itself.
    Inline(Zeroizing<String>),
    /// An environment variable.
    Environment(String),
    /// A file, which may end with a newline.
    File(PathBuf),
}

impl Source {
    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        if let Source::File(path) = self { Some(path) } else { None }
    }

    /// The secret; or why it cannot be had, as a sentence.
    ///
    /// # Errors
    /// That sentence. It names the variable or the file and holds nothing of the secret.
    pub fn read(&self) -> Result<Zeroizing<String>, String> {
        match self {
            Source::Inline(secret) => Ok(secret.clone()),
            Source::Environment(name) => std::env::var(name)
                .map(Zeroizing::new)
                .map_err(|_| format!("The environment variable {name} is not set to a text; set it.")),
            Source::File(path) => {
                let text = Regular::open(path).and_then(|file| file.read_text(MAX_BYTES));
                let mut secret =
                    text.map_err(|complaint| format!("The file {} {complaint}", path.display()))?;
                if secret.ends_with('\n') {
                    secret.pop();
                    if secret.ends_with('\r') {
                        secret.pop();
                    }
                }
                Ok(secret)
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Inline(_) => formatter.write_str("Inline"),
            Source::Environment(name) => write!(formatter, "Environment({name})"),
            Source::File(path) => write!(formatter, "File({})", path.display()),
        }
    }
}

pub(super) fn source(settings: &Settings, [inline, environment, file]: [&str; 3]) -> Option<Source> {
    let given = |pointer| settings.is_given(pointer).then(|| settings.text(pointer));
    given(inline)
        .map(|secret| Source::Inline(Zeroizing::new(secret)))
        .or_else(|| given(environment).map(Source::Environment))
        .or_else(|| settings.is_given(file).then(|| Source::File(settings.file(file))))
}
