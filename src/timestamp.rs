//! Times for people, and those that people write: RFC 3339, in UTC.

#![forbid(unsafe_code)]

/// The end of the year 9999.
const LAST: i64 = 253_402_300_799_999;

/// Unix time `ms` to the minute, or words where it is no time at all: what is in a header may be anything.
#[must_use]
pub fn minute(ms: i64) -> String {
    if !(1..=LAST).contains(&ms) {
        return "at an impossible time".into();
    }
    format!("{}Z", &second(ms)[..16])
}

/// Unix time `ms` to the second, as a ring has it. What RFC 3339 cannot write is the nearest that it can.
#[must_use]
pub fn second(ms: i64) -> String {
    let seconds = ms.clamp(0, LAST) / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", seconds % 60)
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

/// The days from 1970-01-01 to a date.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let year_of_era = year.rem_euclid(400);
    year.div_euclid(400) * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year
        - 719_468
}

/// The Unix time, in ms, that `text` names as RFC 3339 writes it.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let fields = shaped(date, b"dddd-dd-dd")?;
    let clock = shaped(&time.to_ascii_uppercase(), b"Tdd:dd:dd")?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.strip_prefix('+').is_some() { 1 } else { -1 };
            let zone =
                shaped(zone.strip_prefix(['+', '-'])?, b"dd:dd").filter(|z| z[0] <= 23 && z[1] <= 59)?;
            sign * (zone[0] * 60 + zone[1])
        }
    };
    let days = match fields[1] {
        4 | 6 | 9 | 11 => 30,
        2 if fields[0] % 4 == 0 && (fields[0] % 100 != 0 || fields[0] % 400 == 0) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    let is_time = clock[0] <= 23 && clock[1] <= 59 && clock[2] <= 60;
    if fraction.is_empty() || !is_time || !(1..=days).contains(&fields[2]) {
        return None;
    }
    let minutes = days_to(fields[0], fields[1], fields[2]) * 1440 + clock[0] * 60 + clock[1] - offset;
    let ms = fraction.chars().chain("00".chars()).take(3).collect::<String>().parse::<i64>().ok()?;
    Some((minutes * 60 + clock[2]) * 1000 + ms)
}

/// The numbers in `text` where it has the shape `wanted`, in which `d` is a digit.
fn shaped(text: &str, wanted: &[u8]) -> Option<Vec<i64>> {
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
    fn a_time_is_read_as_it_is_written() {
        for seconds in (0..253_402_300_799_i64).step_by(86_399 * 311) {
            assert_eq!(parse(&second(seconds * 1000)), Some(seconds * 1000), "{}", second(seconds * 1000));
        }
        assert_eq!(second(1_787_306_520_000), "2026-08-21T10:02:00Z");
        assert_eq!(parse("2026-08-21T12:02:00.25+02:00"), Some(1_787_306_520_250));
        assert_eq!(parse("2026-08-21T08:32:00.1239-01:30"), Some(1_787_306_520_123));
        assert_eq!(parse("0001-03-01T00:00:00Z").map(|ms| ms < 0), Some(true));
    }

    #[test]
    fn rfc_3339_is_read_strictly() {
        for good in [
            "2026-11-24T10:00:00Z",
            "2026-11-24t10:00:00z",
            "2024-02-29T23:59:60.123456+01:00",
            "2000-02-29T00:00:00-00:00",
        ] {
            assert!(parse(good).is_some(), "{good}");
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
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
