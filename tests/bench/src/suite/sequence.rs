//! What a subscriber expects, and whether what comes is that.
//!
//! *What may come in:* numbers in any order. *What it never does:* take for new what came before, or forget what was left out.

/// How numbers go round pipelines, and pipelines round sockets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// How many pipelines the numbers go round.
    pub(crate) pipelines: u64,
    /// Among how many sockets each of these is followed by one. 1 and 1: all follow the one pipeline.
    pub(crate) shared_by: u64,
    /// The first turn that is expected of each pipeline.
    pub(crate) first: u64,
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// New; so many before it were left out.
    New { skipped: u64 },
    /// One that came before, or that was left out and comes out of its turn.
    Twice,
}

/// What a subscriber has seen.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// Of each of its pipelines, which turn is next.
    pub(crate) next: Vec<u64>,
    pub(crate) last_progress: u64,
}

impl Sequence {
    /// Takes the number of an event that must arrive.
    pub(crate) fn number(&mut self, number: u64, turns: &Turns) -> Arrival {
        let (pipeline, turn) = (number % turns.pipelines, number / turns.pipelines);
        let slot = usize::try_from(pipeline / turns.shared_by).unwrap_or(usize::MAX);
        if self.next.len() <= slot {
            self.next.resize(slot + 1, turns.first);
        }
        let next = &mut self.next[slot];
        if turn < *next {
            return Arrival::Twice;
        }
        let skipped = turn - *next;
        *next = turn + 1;
        Arrival::New { skipped }
    }

    /// Takes the number of a progress event, of which only the last must arrive; says whether it is later than all before.
    pub(crate) fn progress(&mut self, number: u64) -> bool {
        let later = number > self.last_progress;
        self.last_progress = self.last_progress.max(number);
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_doubled_or_swapped_is_seen() {
        let turns = Turns { pipelines: 1, shared_by: 1, first: 0 };
        let mut sequence = Sequence::default();
        let arrivals = [0, 1, 1, 4, 2, 5].map(|number| sequence.number(number, &turns));
        let new = |skipped| Arrival::New { skipped };
        assert_eq!(arrivals, [new(0), new(0), Arrival::Twice, new(2), Arrival::Twice, new(0)]);
        assert_eq!(sequence.next, [6]);
    }

    #[test]
    fn each_pipeline_has_a_sequence_of_its_own() {
        // Four pipelines among two sockets: this one follows the first and the third.
        let turns = Turns { pipelines: 4, shared_by: 2, first: 0 };
        let mut sequence = Sequence::default();
        for number in [0, 2, 6, 4, 8, 10] {
            assert_eq!(sequence.number(number, &turns), Arrival::New { skipped: 0 }, "{number}");
        }
        assert_eq!(sequence.number(18, &turns), Arrival::New { skipped: 1 });
        assert_eq!(sequence.next, [3, 5]);
    }

    #[test]
    fn who_comes_back_expects_what_comes_after() {
        let turns = Turns { pipelines: 1, shared_by: 1, first: 4_900 };
        assert_eq!(Sequence::default().number(4_899, &turns), Arrival::Twice);
        assert_eq!(Sequence::default().number(4_902, &turns), Arrival::New { skipped: 2 });
    }

    #[test]
    fn progress_goes_forward() {
        let mut sequence = Sequence::default();
        assert_eq!([3, 9, 9, 7].map(|number| sequence.progress(number)), [true, true, false, false]);
        assert_eq!(sequence.last_progress, 9);
    }
}
