//! [`Load`]: what is to be sent, and when. A function of its seed: the same seed gives the same events.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use vigil_core::invalid::InvalidValue;

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One after the other at the same distance.
    Steady,
    /// Fifteen quiet seconds, five with thirteen times as many.
    Burst,
    /// From a tenth of the rate to nearly twice of it, over the whole duration, or five minutes again and again.
    Ramp,
    /// At random moments, in spikes and lulls, with some of each injection even where none is asked for.
    Chaos,
}

impl Mode {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Steady, Self::Burst, Self::Ramp, Self::Chaos];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "STEADY",
            Self::Burst => "BURST",
            Self::Ramp => "RAMP",
            Self::Chaos => "CHAOS",
        }
    }
}

impl FromStr for Mode {
    type Err = InvalidValue;

    fn from_str(word: &str) -> Result<Self, InvalidValue> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(word.trim()));
        found.ok_or_else(|| InvalidValue::new("mode", "must be one of STEADY, BURST, RAMP, CHAOS"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// How events come.
    pub mode: Mode,
    /// Events per minute, on the average.
    pub rate: f64,
    /// The share of events that the server must refuse: well-formed, with a value that is none. 0 to 1.
    pub failure_rate: f64,
    /// The share of events of which only half is sent, until patience ends. 0 to 1.
    pub timeout_rate: f64,
    /// The share of events that are no JSON. 0 to 1.
    pub malformed_rate: f64,
    /// The same seed gives the same events.
    pub seed: u64,
    /// For how long; without it until it is stopped.
    pub duration: Option<Duration>,
    /// The hosts that the samples are of.
    pub targets: Vec<String>,
}

/// A [`Load`] that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidLoad {
    /// Which field.
    pub field: &'static str,
    /// What it must be.
    pub problem: &'static str,
}

impl Load {
    /// A steady load of a few hosts without injections.
    pub fn new(mode: Mode, rate: f64, seed: u64) -> Self {
        let targets = (1..=5).map(|number| format!("sim-host-{number}")).collect();
        let (failure_rate, timeout_rate, malformed_rate) = (0.0, 0.0, 0.0);
        Self { mode, rate, failure_rate, timeout_rate, malformed_rate, seed, duration: None, targets }
    }

    /// The first field that makes no sense.
    ///
    /// # Errors
    /// [`InvalidLoad`].
    pub fn check(&self) -> Result<(), InvalidLoad> {
        let wrong = |field, problem| Err(InvalidLoad { field, problem });
        if !(self.rate > 0.0 && self.rate <= 6_000_000.0) {
            return wrong("rate", "must be more than 0 and at most 6000000 events per minute");
        }
        let shares = [self.failure_rate, self.timeout_rate, self.malformed_rate];
        let names = ["failure_rate", "timeout_rate", "malformed_rate"];
        if let Some(at) = shares.iter().position(|share| !(0.0..=1.0).contains(share)) {
            return wrong(names[at], "must be from 0.0 to 1.0");
        }
        if shares.iter().sum::<f64>() > 1.0 {
            return wrong("malformed_rate", "and the other two must be at most 1.0 together");
        }
        let day = Duration::from_secs(24 * 3600);
        if self.duration.is_some_and(|duration| duration.is_zero() || duration > day) {
            return wrong("duration_seconds", "must be more than 0 and at most a day");
        }
        let named = |target: &String| !target.is_empty() && target.len() <= 255 && !target.contains(char::is_control);
        if !(1..=10_000).contains(&self.targets.len()) || !self.targets.iter().all(named) {
            return wrong("targets", "must be 1 to 10000 names");
        }
        Ok(())
    }

    /// The events in their order, without end unless there is a duration.
    pub fn events(&self) -> impl Iterator<Item = Planned> + use<> {
        Plan { load: self.clone(), random: SplitMix(self.seed), at: 0.0, spike: (0.0, 1.0) }
    }
}

/// An event and its moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// When it is sent, from the start on.
    pub at: Duration,
    /// What is sent.
    pub event: SimulatedEvent,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum SimulatedEvent {
    /// A sample.
    Sample {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The host it is of.
        target: String,
    },
    /// A sample whose value is none.
    Failing,
    /// Half a sample.
    Halting,
    /// No JSON.
    Malformed,
}

struct Plan {
    load: Load,
    random: SplitMix,
    /// Seconds from the start.
    at: f64,
    /// Until when, and how much of the rate, in a mode of spikes.
    spike: (f64, f64),
}

impl Plan {
    /// In chaos some of each is injected.
    const CHAOS: f64 = 0.05;
    /// What agents send, with the values they move between.
    const SAMPLES: [(&'static str, f64, f64); 4] = [
        ("cpu_percent", 5.0, 100.0),
        ("memory_percent", 20.0, 95.0),
        ("disk_free_percent", 2.0, 80.0),
        ("load1", 0.0, 16.0),
    ];

    /// Seconds to the next event.
    fn distance(&mut self) -> f64 {
        let mean = 60.0 / self.load.rate;
        match self.load.mode {
            Mode::Steady => mean,
            // 5 s at 3.25 and 15 s at 0.25 of the rate: 1 on the average.
            Mode::Burst => mean / if self.at % 20.0 >= 15.0 { 3.25 } else { 0.25 },
            Mode::Ramp => {
                let whole = self.load.duration.map_or(300.0, |duration| duration.as_secs_f64());
                mean / (0.1 + 1.8 * (self.at % whole) / whole)
            }
            Mode::Chaos => {
                if self.at >= self.spike.0 {
                    let factor = [0.1, 0.5, 1.0, 4.0][(self.random.share() * 4.0) as usize];
                    self.spike = (self.at + 1.0 + 4.0 * self.random.share(), factor);
                }
                // Independent moments: their distances are exponential.
                -(1.0 - self.random.share()).ln() * mean / self.spike.1
            }
        }
    }

    fn event(&mut self) -> SimulatedEvent {
        let least = if self.load.mode == Mode::Chaos { Self::CHAOS } else { 0.0 };
        let Load { failure_rate, timeout_rate, malformed_rate, .. } = self.load;
        let drawn = self.random.share();
        let (failing, halting) = (failure_rate.max(least), timeout_rate.max(least));
        if drawn < failing {
            return SimulatedEvent::Failing;
        }
        if drawn < failing + halting {
            return SimulatedEvent::Halting;
        }
        if drawn < failing + halting + malformed_rate.max(least) {
            return SimulatedEvent::Malformed;
        }
        let (name, low, high) = Self::SAMPLES[(self.random.share() * Self::SAMPLES.len() as f64) as usize];
        let target = self.load.targets[(self.random.share() * self.load.targets.len() as f64) as usize].clone();
        SimulatedEvent::Sample { name, value: low + (high - low) * self.random.share(), target }
    }
}

impl Iterator for Plan {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        self.at += self.distance();
        let at = Duration::from_secs_f64(self.at);
        let within = self.load.duration.is_none_or(|duration| at <= duration);
        within.then(|| Planned { at, event: self.event() })
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    /// From 0 to 1, without 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(mode: Mode, seconds: u64) -> Vec<Planned> {
        Load { duration: Some(Duration::from_secs(seconds)), ..Load::new(mode, 6000.0, 7) }.events().collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_events_and_another_one_others() {
        for mode in Mode::ALL {
            let events = |seed| Load::new(mode, 600.0, seed).events().take(500).collect::<Vec<_>>();
            assert_eq!(events(7), events(7));
            assert_ne!(events(7), events(8));
        }
    }

    #[test]
    fn every_mode_keeps_the_rate_on_the_average() {
        for (mode, seconds) in [(Mode::Steady, 60), (Mode::Burst, 200), (Mode::Ramp, 60)] {
            let share = counted(mode, seconds).len() as f64 / (100 * seconds) as f64;
            assert!((0.9..1.1).contains(&share), "{mode}: {share}");
        }
        let chaos = counted(Mode::Chaos, 600).len() as f64 / 60_000.0;
        assert!((0.5..2.5).contains(&chaos), "{chaos}");
    }

    #[test]
    fn a_burst_comes_in_bursts_and_a_ramp_rises() {
        let within = |planned: &[Planned], from: u64, to: u64| {
            let span = Duration::from_secs(from)..Duration::from_secs(to);
            planned.iter().filter(|planned| span.contains(&planned.at)).count()
        };
        let burst = counted(Mode::Burst, 20);
        assert!(within(&burst, 15, 20) > 10 * within(&burst, 5, 10));
        let ramp = counted(Mode::Ramp, 60);
        assert!(within(&ramp, 50, 60) > 5 * within(&ramp, 0, 10));
    }

    #[test]
    fn as_much_of_each_is_injected_as_asked_for() {
        let load =
            Load { failure_rate: 0.1, timeout_rate: 0.2, malformed_rate: 0.3, ..Load::new(Mode::Steady, 600.0, 7) };
        let events: Vec<_> = load.events().take(10_000).map(|planned| planned.event).collect();
        let share = |event: &SimulatedEvent| events.iter().filter(|other| *other == event).count() as f64 / 10_000.0;
        for (event, wanted) in
            [(SimulatedEvent::Failing, 0.1), (SimulatedEvent::Halting, 0.2), (SimulatedEvent::Malformed, 0.3)]
        {
            assert!((share(&event) - wanted).abs() < 0.02, "{event:?}: {}", share(&event));
        }
        let chaos: Vec<_> = Load::new(Mode::Chaos, 600.0, 7).events().take(1000).map(|planned| planned.event).collect();
        assert!(chaos.contains(&SimulatedEvent::Malformed) && chaos.contains(&SimulatedEvent::Halting));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let load = || Load::new(Mode::Steady, 60.0, 7);
        assert_eq!(load().check(), Ok(()));
        for (wrong, field) in [
            (Load { rate: 0.0, ..load() }, "rate"),
            (Load { rate: f64::NAN, ..load() }, "rate"),
            (Load { failure_rate: 1.1, ..load() }, "failure_rate"),
            (Load { timeout_rate: -0.1, ..load() }, "timeout_rate"),
            (Load { failure_rate: 0.6, malformed_rate: 0.6, ..load() }, "malformed_rate"),
            (Load { duration: Some(Duration::ZERO), ..load() }, "duration_seconds"),
            (Load { targets: Vec::new(), ..load() }, "targets"),
        ] {
            assert_eq!(wrong.check().unwrap_err().field, field);
        }
        assert_eq!("chaos".parse(), Ok(Mode::Chaos));
        assert!("storm".parse::<Mode>().is_err());
    }
}
