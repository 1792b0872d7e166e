//! `Order`: who goes next, of those that could.

use core::fmt;
use core::str::FromStr;

/// Who goes next: which shard of those with something to do, and which of its ready tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Who was there first.
    Fifo,
    /// One of them, each with the same chance.
    Random,
    /// Each task gets a priority, drawn once, and the ready one with the highest goes; at `depth - 1` of the first `polls`
    /// polls of a shard, drawn beforehand, the one that would go falls behind all others. Finds a bug that needs `depth`
    /// things in a certain order with a probability of at least `1 / (tasks * polls^(depth - 1))` (PCT: Burckhardt, Kothari,
    /// Musuvathi, Nagarakatte: *A randomized scheduler with probabilistic guarantees of finding bugs*, ASPLOS 2010). Who is
    /// first in line and was passed over 64 times goes all the same, or those that never rest would starve it for ever. Shards
    /// are drawn as by `Random`. Costs time for each task that is ready.
    Pct {
        /// How many things have to happen in a certain order; at least 1.
        depth: u32,
        /// About how many polls a shard makes; at least 1.
        polls: u32,
    },
    /// Each ready task with a chance that is as high as the polls that it, and what it spawns, has yet to come, as
    /// [`WorldConfig::poll_counts`](crate::WorldConfig::poll_counts) expects them. Where these are right and no task waits for another, all orders of all polls are
    /// equally likely, while by `Random` those are rare in which a task with many polls is late (URW: Zhao, Wolff, Mathur, Roychoudhury:
    /// *Selectively Uniform Concurrency Testing*, ASPLOS 2025). Shards are drawn as by `Random`. Costs time for each task that
    /// is ready, and memory for each that was spawned. [`harness`](crate::harness) has the counts of each seed by a run before.
    Urw,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fifo => f.write_str("fifo"),
            Self::Random => f.write_str("random"),
            Self::Pct { depth, polls } => write!(f, "pct:{depth}:{polls}"),
            Self::Urw => f.write_str("urw"),
        }
    }
}

/// A text that names no [`Order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderError(String);

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the order is \"{}\": expected is fifo, random, pct, pct:DEPTH:POLLS of numbers from 1, or urw",
            self.0
        )
    }
}

impl core::error::Error for OrderError {}

impl FromStr for Order {
    type Err = OrderError;

    /// As it is displayed; `pct` alone is of depth 3 for 1,000 polls.
    ///
    /// # Errors
    /// When it names none.
    fn from_str(text: &str) -> Result<Self, OrderError> {
        let error = || OrderError(text.to_owned());
        match text {
            "fifo" => Ok(Self::Fifo),
            "random" => Ok(Self::Random),
            "pct" => Ok(Self::Pct { depth: 3, polls: 1000 }),
            "urw" => Ok(Self::Urw),
            _ => {
                let numbers = text.strip_prefix("pct:").and_then(|rest| rest.split_once(':'));
                let (depth, polls) = numbers.ok_or_else(error)?;
                let depth = depth.parse().ok().filter(|depth| *depth > 0).ok_or_else(error)?;
                let polls = polls.parse().ok().filter(|polls| *polls > 0).ok_or_else(error)?;
                Ok(Self::Pct { depth, polls })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_is_read() {
        let pct = Order::Pct { depth: 2, polls: 50 };
        for order in [Order::Fifo, Order::Random, pct, Order::Urw] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        assert_eq!("pct".parse(), Ok(Order::Pct { depth: 3, polls: 1000 }));
        for text in ["", "Fifo", "pct:", "pct:3", "pct:0:5", "pct:3:0", "pct:3:x", "pct:3:5:7"] {
            let error = text.parse::<Order>().expect_err("it is none");
            assert!(error.to_string().starts_with(&format!("the order is \"{text}\"")));
        }
    }
}
