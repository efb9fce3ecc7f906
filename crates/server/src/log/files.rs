//! Looking through the files of a state, a part at a time, so that a search does not hold up those who write.

use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{FileStatus, PipelineStatus};

use super::FilesQuery;
use crate::auth::{Field, Redaction};

/// How many files are looked at in one go.
const AT_ONCE: usize = 2_000;

/// A page of files. `look` lets the state be looked at for a moment.
pub(super) fn page(query: FilesQuery, mut look: impl FnMut(&mut dyn FnMut(&PipelineStatus))) -> FilesPage {
    let wanted = query.contains.map(|text| text.to_lowercase());
    let mut files: Vec<FileStatus> = Vec::new();
    let mut after = query.after;
    let mut more = true;
    while more && files.len() <= query.limit {
        look(&mut |state| {
            let mut looked_at = 0;
            for file in state.files.after(after, query.state).take(AT_ONCE) {
                looked_at += 1;
                after = file.seq;
                if wanted.as_deref().is_none_or(|wanted| contains(file, wanted, query.hidden)) {
                    files.push(file.clone());
                    if files.len() > query.limit {
                        break;
                    }
                }
            }
            more = looked_at == AT_ONCE;
        });
    }
    let more = files.len() > query.limit;
    files.truncate(query.limit);
    let next_after = files.last().filter(|_| more).map(|file| file.seq);
    FilesPage { files, next_after }
}

/// Whether the text, in lower case, is in what people know a file by: its name, id and path, and what became of it.
fn contains(file: &FileStatus, wanted: &str, hidden: Redaction) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    has(&file.name)
        || has(&file.id)
        || (!hidden.hides(Field::Path) && file.path.as_deref().is_some_and(has))
        || (!hidden.hides(Field::Message) && file.message.as_deref().is_some_and(has))
        || file.reason.as_ref().is_some_and(|reason| has(reason.as_str()))
        || file.error.as_ref().is_some_and(|error| {
            has(&error.kind)
                || (!hidden.hides(Field::ErrorMessage) && has(&error.message))
                || error.stage.as_ref().is_some_and(|stage| has(stage.as_str()))
        })
}
