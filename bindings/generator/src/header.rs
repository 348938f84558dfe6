//! The C header. cbindgen writes the declarations; this adds what only C has.

use cbindgen::Bindings;

/// How the library is used, for somebody who has only the header.
const CONVENTIONS: &str = "\
/* Tokencache: a token cache with memory in front (L1) and a store that processes share behind it (L2).
 *
 * How to read this file
 *   Status    Below zero a call failed and tc_last_error() says why, on the same thread. Zero: done. Above zero: an
 *             answer, such as TC_NOT_FOUND. `if (tc_set(...) < 0)` asks whether it broke.
 *   Outputs   Written only when the status says that there is something to write.
 *   Text      UTF-8, as a pointer and a length in bytes; TC_NTS as the length of text that ends with a NUL. Text that
 *             the library returns ends with a NUL and is never null.
 *   Keys      Bytes of any value, as many as limits.max_key_bytes allows and at least one. Keys that begin with
 *             \"__tokencache:\" are the library's own.
 *   Bytes     Copied before the call returns. A null pointer with length 0 is an empty value.
 *   Values    A tc_value is owned by whoever received it until tc_value_release, and outlives the cache.
 *   Structs   One that you fill in starts with struct_size, and zero means the default. One that the library fills in
 *             may grow at its end.
 *   Threads   Any function may be called from any thread at any time. Callbacks run on threads of the library, of
 *             2 MiB of stack, several at once, with no lock held. They must return: no exception, unwinding or longjmp
 *             may leave them.
 *   Fork      A child may go on using a handle. It starts with an empty L1, counters at 0 and its own connections; what
 *             was owed to L2 in memory, and calls under way in the background, stay with the parent.
 */";

/// The length of the longest line.
const WIDTH: usize = 110;

/// Writes `include/tokencache.h`.
pub fn write(bindings: &mut Bindings, version: [u64; 3]) -> Result<String, String> {
    let [major, minor, patch] = version;
    bindings.config.header = Some(format!("/* {} */\n{CONVENTIONS}", crate::NOTICE));
    // cbindgen drops constants of type usize and cannot say `sizeof`.
    bindings.config.after_includes = Some(format!(
        "
// The version of this header; `tc_version` is the library's.
#define TC_VERSION_MAJOR {major}
#define TC_VERSION_MINOR {minor}
#define TC_VERSION_PATCH {patch}

// Given as a length: the text before it ends with a NUL.
#define TC_NTS SIZE_MAX

// Starts a `tc_set_options`: `tc_set_options options = TC_SET_OPTIONS;`
#define TC_SET_OPTIONS {{ sizeof(tc_set_options), 0, 0, 0, 0, 0 }}"
    ));
    let mut written = Vec::new();
    bindings.write(&mut written);
    let text = String::from_utf8(written).map_err(|error| format!("The header is not UTF-8: {error}"))?;
    Ok(text.lines().map(|line| finish(line) + "\n").collect())
}

/// Wraps a long declaration after a comma, and gives a negative number the parentheses that a macro needs.
fn finish(line: &str) -> String {
    if line.starts_with("#define ") {
        return match line.rsplit_once(' ') {
            Some((name, value)) if value.starts_with('-') => format!("{name} ({value})"),
            _ => line.to_string(),
        };
    }
    match (line.len() > WIDTH).then(|| line[..WIDTH].rfind(", ")).flatten() {
        Some(comma) if line.starts_with("tc_") => {
            let indent = line.find('(').map_or(4, |parenthesis| parenthesis + 1);
            let rest = " ".repeat(indent) + &line[comma + 2..];
            format!("{}\n{}", &line[..comma + 1], rest)
        }
        _ => line.to_string(),
    }
}
