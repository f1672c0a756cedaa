//! [`Window`]: when a source is left alone.

use serde::{Deserialize, Deserializer, de};
use vigil_core::clock::Timestamp;

/// A time of day on some days of the week, in UTC. One that ends before it begins goes past midnight, and belongs to the day it
/// begins on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On which days it begins; all of them if none is named.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it begins.
    pub from: TimeOfDay,
    /// When it is over.
    pub to: TimeOfDay,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs)] // their names say it
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Hours and minutes, as minutes since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

const WEEK: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
const DAY_MINUTES: i64 = 24 * 60;

impl Window {
    /// Whether it is open.
    pub fn contains(&self, now: Timestamp) -> bool {
        let minutes = now.as_micros().div_euclid(60_000_000);
        let (day, minute) = (minutes.div_euclid(DAY_MINUTES), minutes.rem_euclid(DAY_MINUTES));
        let (from, to) = (i64::from(self.from.0), i64::from(self.to.0));
        if from < to {
            return self.begins_on(day) && (from..to).contains(&minute);
        }
        (minute >= from && self.begins_on(day)) || (minute < to && self.begins_on(day - 1))
    }

    fn begins_on(&self, day: i64) -> bool {
        // Days are counted from 1970-01-01, a Thursday.
        let index = usize::try_from((day + 3).rem_euclid(7)).expect("a remainder of seven is small");
        self.days.is_empty() || self.days.contains(&WEEK[index])
    }
}

impl TimeOfDay {
    /// Reads `22:00`.
    ///
    /// # Errors
    /// A sentence, if it is no time of day.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |digits: &str, below: u16| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|number| plain && *number < below)
        };
        let parts = text.split_once(':').and_then(|(hours, minutes)| number(hours, 24).zip(number(minutes, 60)));
        let (hours, minutes) = parts.ok_or_else(|| format!("'{text}' is no time of day: write it as \"22:00\""))?;
        Ok(Self(hours * 60 + minutes))
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Day], from: &str, to: &str) -> Window {
        Window { days: days.to_vec(), from: TimeOfDay::parse(from).unwrap(), to: TimeOfDay::parse(to).unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_begins_on() {
        let night = window(&[Day::Fri], "22:00", "06:00");
        // 2026-01-23 is a Friday.
        for (time, open) in [
            ("2026-01-23T21:59:59Z", false),
            ("2026-01-23T22:00:00Z", true),
            ("2026-01-24T05:59:59Z", true),
            ("2026-01-24T06:00:00Z", false),
            ("2026-01-24T22:00:00Z", false),
            ("2026-01-23T03:00:00Z", false),
        ] {
            assert_eq!(night.contains(at(time)), open, "{time}");
        }
    }

    #[test]
    fn a_window_without_days_is_open_on_all_and_one_that_ends_as_it_begins_lasts_a_day() {
        assert!(window(&[], "09:00", "17:00").contains(at("2026-01-25T12:00:00Z")));
        assert!(!window(&[], "09:00", "17:00").contains(at("2026-01-25T17:00:00Z")));
        let sunday = window(&[Day::Sun], "00:00", "00:00");
        assert!(sunday.contains(at("2026-01-25T23:59:00Z")) && !sunday.contains(at("2026-01-26T00:00:00Z")));
    }

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        for wrong in ["24:00", "7:00", "22", "22:60", "+1:00", ""] {
            assert!(TimeOfDay::parse(wrong).is_err(), "{wrong}");
        }
    }
}
