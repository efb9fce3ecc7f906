//! The body of an ingest request.

use ragpulse_protocol::Event;

use super::is_short;

pub(crate) fn run(input: &[u8]) {
    // A body of one event a line is told by its first line, which is empty.
    match ragpulse_server::fuzzing::report(input, input.first() == Some(&b'\n')) {
        Ok(records) => {
            for record in records {
                // Names and payloads become lines of a stream of server-sent events.
                assert!(!record.name.chars().any(char::is_control), "{:?}", record.name);
                assert!(!record.payload.get().contains(['\n', '\r', '\0']));
                let again = Event::decode(&record.name, record.payload.get()).unwrap();
                assert_eq!(again, record.event);
                assert_eq!(Event::from_value(&record.name, again.payload()).unwrap(), again);
            }
        }
        Err(problem) => is_short(&problem),
    }
}
