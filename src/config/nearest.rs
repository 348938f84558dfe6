//! "Did you mean …": the known name that a mistyped one is nearest to.

#![forbid(unsafe_code)]

/// The name among `known` that is so near to `name` that somebody may have meant it.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (distance(name, known), *known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(2) && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The least number of characters inserted, deleted or replaced (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_characters() {
        for (left, right, expected) in
            [("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ulr", "url", 2)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let known = ["enabled", "capacity_bytes", "max_ttl_ms"];
        assert_eq!(nearest("capcity_bytes", &known), Some("capacity_bytes"));
        assert_eq!(nearest("max_ttl", &known), Some("max_ttl_ms"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("xy", &["l1", "l2"]), None);
    }
}
