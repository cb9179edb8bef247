//! Dates of HTTP (RFC 9110 5.6.7): IMF-fixdate and the two obsolete forms. Layouts are strict, names are taken in any
//! case, the weekday is not compared with the date: it says nothing new.

use std::time::{Duration, SystemTime};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY: u64 = 86_400;

/// Reads a date; `None` for anything else, dates before 1970 included.
///
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994` are the same second.
#[must_use]
pub fn parse(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok().filter(|t| t.is_ascii())?.trim_ascii().to_ascii_lowercase();
    imf_fixdate(&text).or_else(|| rfc850(&text)).or_else(|| asctime(&text))
}

/// `sun, 06 nov 1994 08:49:37 gmt`
fn imf_fixdate(text: &str) -> Option<SystemTime> {
    let (weekday, rest) = text.split_once(", ")?;
    let rest = rest.strip_suffix(" gmt")?;
    let parts: [&str; 4] = rest.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let [day, month, year, time] = parts;
    is_name(weekday, 3)?;
    moment(number(year, 4)?, month, number(day, 2)?, time)
}

/// `sunday, 06-nov-94 08:49:37 gmt`; a year is taken to be at most 50 years ahead, counted from the 2020s (RFC 9110
/// 5.6.7 counts from now; these dates are not made any more, so the difference has no bearing).
fn rfc850(text: &str) -> Option<SystemTime> {
    let (weekday, rest) = text.split_once(", ")?;
    let (date, time) = rest.strip_suffix(" gmt")?.split_once(' ')?;
    let [day, month, year]: [&str; 3] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
    is_name(weekday.strip_suffix("day")?, weekday.len() - 3)?;
    let short = number(year, 2)?;
    moment(if short < 70 { 2000 + short } else { 1900 + short }, month, number(day, 2)?, time)
}

/// `sun nov  6 08:49:37 1994`: the day of the month is padded with a blank.
fn asctime(text: &str) -> Option<SystemTime> {
    if text.len() != 24 || [3, 7, 10, 19].iter().any(|at| text.as_bytes()[*at] != b' ') {
        return None;
    }
    is_name(&text[..3], 3)?;
    let day = &text[8..10];
    let day = day.strip_prefix(' ').map_or_else(|| number(day, 2), |one| number(one, 1))?;
    moment(number(&text[20..], 4)?, &text[4..7], day, &text[11..19])
}

fn is_name(text: &str, len: usize) -> Option<()> {
    (text.len() == len && len >= 3 && text.bytes().all(|b| b.is_ascii_alphabetic())).then_some(())
}

/// Exactly `digits` digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A date that exists, from 1970 on, with a time of day `hh:mm:ss`.
fn moment(year: u64, month: &str, day: u64, time: &str) -> Option<SystemTime> {
    let month = MONTHS.iter().position(|m| *m == month)?;
    let [h, m, s]: [&str; 3] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    let (h, m, s) = (number(h, 2)?, number(m, 2)?, number(s, 2)?);
    if year < 1970 || day == 0 || day > days_in(year, month) || h > 23 || m > 59 || s > 59 {
        return None;
    }
    let leap_days = |y: u64| y / 4 - y / 100 + y / 400;
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + (0..month).map(|m| days_in(year, m)).sum::<u64>() + day - 1;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(days * DAY + h * 3600 + m * 60 + s))
}

/// Days of a month, counted from 0.
const fn days_in(year: u64, month: usize) -> u64 {
    match month {
        1 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn three_forms_are_one_second() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 NOV 1994 08:49:37 gmt",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(at(784_111_777)), "{text}");
        }
        assert_eq!(parse(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(at(0)));
        assert_eq!(parse(b"Thu, 29 Feb 2024 23:59:59 GMT"), Some(at(1_709_251_199)));
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 2023 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "day, 06-Nov-94 08:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_u64..250_000_000_000) {
            prop_assert_eq!(parse(httpdate::fmt_http_date(at(seconds)).as_bytes()), Some(at(seconds)));
        }

        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, near in "[A-Za-z0-9,: -]{20,32}") {
            let _ = parse(&bytes);
            let _ = parse(near.as_bytes());
        }
    }
}
