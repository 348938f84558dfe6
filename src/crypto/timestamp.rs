//! Times for people, and those that people write: RFC 3339, in UTC.

#![forbid(unsafe_code)]

/// Unix time `ms` to the minute, or words where it is no time at all: what is in a header may be anything.
pub(super) fn minute(ms: i64) -> String {
    const LAST: i64 = 253_402_300_799_999;
    if !(1..=LAST).contains(&ms) {
        return "at an impossible time".into();
    }
    let minutes = ms / 60_000;
    let (year, month, day) = civil(minutes / 1440);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}Z", minutes / 60 % 24, minutes % 60)
}

/// The date `days` after 1970-01-01, reckoned in years that begin with March, so that a leap day is the last of its
/// year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Whether `text` is a time as RFC 3339 writes it.
pub(super) fn is_rfc3339(text: &str) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else { return false };
    let Some((time, rest)) = rest.split_at_checked(9) else { return false };
    let Some(fields) = shaped(date, b"dddd-dd-dd") else { return false };
    let Some(clock) = shaped(&time.to_ascii_uppercase(), b"Tdd:dd:dd") else { return false };
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    let is_zone = matches!(zone, "Z" | "z")
        || (zone.starts_with(['+', '-'])
            && shaped(&zone[1..], b"dd:dd").is_some_and(|zone| zone[0] <= 23 && zone[1] <= 59));
    let days = match fields[1] {
        4 | 6 | 9 | 11 => 30,
        2 if fields[0] % 4 == 0 && (fields[0] % 100 != 0 || fields[0] % 400 == 0) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    let is_time = clock[0] <= 23 && clock[1] <= 59 && clock[2] <= 60;
    !fraction.is_empty() && is_zone && is_time && (1..=days).contains(&fields[2])
}

/// The numbers in `text` where it has the shape `wanted`, in which `d` is a digit.
fn shaped(text: &str, wanted: &[u8]) -> Option<Vec<u32>> {
    let fits =
        |(byte, wanted): (u8, &u8)| if *wanted == b'd' { byte.is_ascii_digit() } else { byte == *wanted };
    if text.len() != wanted.len() || !text.bytes().zip(wanted).all(fits) {
        return None;
    }
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_to_the_minute() {
        assert_eq!(minute(1), "1970-01-01T00:00Z");
        assert_eq!(minute(951_782_340_000), "2000-02-28T23:59Z");
        assert_eq!(minute(951_782_400_000), "2000-02-29T00:00Z");
        assert_eq!(minute(1_787_306_520_000), "2026-08-21T10:02Z");
        assert_eq!(minute(253_402_300_799_999), "9999-12-31T23:59Z");
        for impossible in [i64::MIN, -1, 0, 253_402_300_800_000, i64::MAX] {
            assert_eq!(minute(impossible), "at an impossible time");
        }
    }

    #[test]
    fn rfc_3339_is_read_strictly() {
        for good in [
            "2026-11-24T10:00:00Z",
            "2026-11-24t10:00:00z",
            "2024-02-29T23:59:60.123456+01:00",
            "2000-02-29T00:00:00-00:00",
        ] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24 10:00:00Z",
            "2026-11-24T10:00:00",
            "2026-11-24T10:00:00.Z",
            "2026-13-01T10:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T10:00:00+1:00",
            "2026-11-24T10:00:00Zulu",
            "2026-11-2üT10:00:00Z",
            "2026-11-24T10:00:00ü",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
