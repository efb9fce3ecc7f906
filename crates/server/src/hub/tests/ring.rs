//! The ring against a list that forgets nothing.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::hub::ring::Ring;

/// An event of about as many bytes as asked for.
fn sized(seq: u64, bytes: usize) -> Arc<Record> {
    placed("e", seq, "x:any", &json!({ "text": "x".repeat(bytes) }))
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Clear,
    /// The life goes on where it was left: a hub that starts takes over the last events only.
    Skip(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..600_usize).prop_map(Step::Push),
        1 => Just(Step::Clear),
        1 => any::<u8>().prop_map(Step::Skip),
    ]
}

proptest! {
    #[test]
    fn it_holds_the_last_events_within_its_bounds_and_no_fewer(
        steps in vec(step(), 1..60),
        most_records in 0..12_usize,
        most_bytes in 0..4_000_usize,
    ) {
        let mut ring = Ring::new(most_records, most_bytes);
        let mut all: Vec<Arc<Record>> = Vec::new();
        let mut seq = 0;
        for step in steps {
            match step {
                Step::Push(bytes) => {
                    seq += 1;
                    all.push(sized(seq, bytes));
                    ring.push(all[all.len() - 1].clone());
                }
                Step::Clear => {
                    (seq, all) = (0, Vec::new());
                    ring.clear();
                }
                Step::Skip(by) if all.is_empty() => seq += u64::from(by),
                Step::Skip(_) => {}
            }
            // What must be there: as many of the last as fit both bounds, and the last in any case.
            let mut bytes = 0;
            let fit = all.iter().rev().take(most_records.max(1)).enumerate();
            let kept = fit.take_while(|(number, record)| {
                bytes += record.size();
                *number == 0 || bytes <= most_bytes
            });
            let kept = &all[all.len() - kept.count()..];
            prop_assert_eq!(ring.last().map(|record| record.seq), all.last().map(|record| record.seq));
            let first = kept.first().map_or(u64::MAX, |record| record.seq);
            for after in (first.saturating_sub(3)..first.saturating_add(3)).chain([0, seq, seq + 1, u64::MAX]) {
                let expected: Option<Vec<&Arc<Record>>> = (first != u64::MAX && after.saturating_add(1) >= first)
                    .then(|| kept.iter().filter(|record| record.seq > after).collect());
                for limit in [0, 1, 3, usize::MAX] {
                    let found: Option<Vec<u64>> =
                        ring.after(after, limit).map(|records| records.map(|record| record.seq).collect());
                    let expected = expected.as_ref().map(|records| {
                        records.iter().take(limit).map(|record| record.seq).collect::<Vec<_>>()
                    });
                    prop_assert_eq!(found, expected, "after {} at most {}", after, limit);
                }
                let expected = expected.map(|records| records.iter().map(|record| record.size() as u64).sum());
                prop_assert_eq!(ring.bytes_after(after), expected, "bytes after {}", after);
            }
        }
    }
}
