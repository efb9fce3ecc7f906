//! Finding the chunks nearest to a question.
//!
//! Comes in: a question in plain words. Never: an index. All vectors of the folder are compared, which for the
//! hundreds of thousands a demo has takes well under a second, and needs no extension of SQLite.

use rusqlite::OptionalExtension as _;

use super::{Store, StoreError, unsigned};
use crate::embed::{HashedNgramVectorizer, cosine};

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The file it is from.
    pub file_id: String,
    /// The file's absolute path.
    pub path: String,
    /// Which of the file's chunks it is, from 0.
    pub position: u64,
    /// The chunk.
    pub text: String,
    /// How near it is: 1 the same, 0 nothing shared.
    pub score: f32,
}

impl Store {
    /// The `k` chunks of this folder nearest to `query`, nearest first; none for a query without any sign in it.
    pub fn search(&self, query: &str, k: usize) -> Result<Vec<Hit>, StoreError> {
        let wanted = HashedNgramVectorizer.embed(query);
        if k == 0 || wanted.iter().all(|x| *x == 0.0) {
            return Ok(Vec::new());
        }
        self.reading(|db| {
            // One view for both queries, or a chunk could go between finding and fetching it.
            let tx = db.unchecked_transaction()?;
            let mut all = tx.prepare_cached(
                "SELECT c.id, c.vector FROM chunks c JOIN files f ON f.id = c.file_id WHERE f.root = ?1",
            )?;
            let mut best: Vec<(f32, i64)> = Vec::new();
            let mut rows = all.query([&self.inner.root])?;
            while let Some(row) = rows.next()? {
                let (id, vector): (i64, Vec<f32>) = (row.get(0)?, decode(row.get_ref(1)?.as_blob()?));
                best.push((cosine(&wanted, &vector), id));
                // Keeps memory at k, and sorts only now and then.
                if best.len() >= k.saturating_mul(2).max(1_024) {
                    keep(&mut best, k);
                }
            }
            keep(&mut best, k);
            let mut fetch = tx.prepare_cached(
                "SELECT c.file_id, f.path, c.position, c.text FROM chunks c JOIN files f ON f.id = c.file_id
                 WHERE c.id = ?1",
            )?;
            let mut hits = Vec::with_capacity(best.len());
            for (score, id) in best {
                let hit = fetch.query_row([id], |row| {
                    Ok(Hit {
                        file_id: row.get(0)?,
                        path: row.get(1)?,
                        position: unsigned(row, 2)?,
                        text: row.get(3)?,
                        score,
                    })
                });
                hits.extend(hit.optional()?);
            }
            Ok(hits)
        })
    }
}

fn keep(best: &mut Vec<(f32, i64)>, k: usize) {
    best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    best.truncate(k);
}

fn decode(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}
