//! The one table of the HTTP routes: what each takes, needs and answers. bindings/openapi.yaml is made from it, and a test
//! holds it to the router. The generator compiles this file by itself, so it uses the contract and nothing else of the hub.

use ragpulse_protocol::Code;
use ragpulse_protocol::limits::{MAX_PAGE, MAX_WAIT_SECONDS};

/// A method of an address.
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// With names in braces.
    pub path: &'static str,
    /// By which programs made from the table call it.
    pub id: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// The act that a token must allow; `token` where any that is valid will do, none where there need not be one.
    pub act: Option<&'static str>,
    /// What stands in the query and in headers; a name in the path is always a pipeline's, or a file's of the page.
    pub parameters: &'static [Parameter],
    /// Whether it takes events.
    pub takes_events: bool,
    /// Whether it is answered from what the hub has in memory, also while the store does not answer.
    pub from_memory: bool,
    /// What it answers when all is well.
    pub answers: &'static [Answer],
    /// Its problems beside those of the doors, of the token, of the path and of the query.
    pub problems: &'static [Code],
}

/// A parameter that may be left out.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// A header, else in the query.
    pub is_header: bool,
    /// Of which form.
    pub form: Form,
    /// What it means.
    pub doc: &'static str,
}

/// The form of a parameter.
pub enum Form {
    /// Any text.
    Text,
    /// A whole number, from here to there.
    Whole(u64, u64),
    /// A number from 0.
    UpTo(u64),
    /// A time of RFC 3339.
    Time,
    /// The state of a file.
    FileState,
    /// A type of the contract.
    Contract(&'static str),
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its type, none without a body.
    pub content: Option<&'static str>,
    /// The type of the contract, where it is JSON of one.
    pub schema: Option<&'static str>,
}

const JSON: Option<&str> = Some("application/json");

const fn json(schema: &'static str) -> Answer {
    Answer { status: 200, content: JSON, schema: Some(schema) }
}

const fn text(content: &'static str) -> Answer {
    Answer { status: 200, content: Some(content), schema: None }
}

const fn empty(status: u16) -> Answer {
    Answer { status, content: None, schema: None }
}

const fn query(name: &'static str, form: Form, doc: &'static str) -> Parameter {
    Parameter { name, is_header: false, form, doc }
}

const fn header(name: &'static str, form: Form, doc: &'static str) -> Parameter {
    Parameter { name, is_header: true, form, doc }
}

/// Numbers that JavaScript has too.
const SAFE: u64 = 9_007_199_254_740_991;
const AFTER: Parameter = query("after", Form::Whole(0, SAFE), "`next_after` of the page before.");
const EPOCH: Parameter = query(
    "epoch",
    Form::Contract("Epoch"),
    "Of the cursor. Without it there is no cursor, and a state comes.",
);
const CACHED: Parameter = header("If-None-Match", Form::Text, "The `ETag` of the answer that is known.");
const CLIENT: Parameter =
    header("RagPulse-Client-Status", Form::Text, "How the client fares: `client:status` as JSON.");

/// Of a store that does not answer, or a hub that closes.
const STORE: [Code; 3] = [Code::Closing, Code::Overloaded, Code::StoreUnavailable];

/// How old an answer from memory is, while the store does not answer.
pub const STALE: (&str, &str) = (
    "RagPulse-Stale",
    "There only while the hub's store does not answer: for how many seconds it has not. The answer is as it was then.",
);

/// Every route.
pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/health",
        id: "health",
        doc: "Whether the process answers.",
        act: None,
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[text("text/plain; charset=utf-8")],
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/ready",
        id: "ready",
        doc: "Whether the hub takes events and connections, and its store answers.",
        act: None,
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[Answer { status: 200, content: JSON, schema: None }],
        problems: &[Code::Closing, Code::StoreUnavailable],
    },
    Route {
        method: "GET",
        path: "/metrics",
        id: "metrics",
        doc: "The hub's numbers, for Prometheus; OpenMetrics where `Accept` asks for it. There unless it is switched off.",
        act: Some("metrics"),
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[text("text/plain; version=0.0.4; charset=utf-8")],
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/api/rag-status",
        id: "ragStatus",
        doc: "All pipelines that may be seen, in the form of the reference application.",
        act: Some("token"),
        parameters: &[query("pipeline_id", Form::Text, "Only this one."), CACHED],
        takes_events: false,
        from_memory: true,
        answers: &[json("RagStatus"), empty(304)],
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/api/socket/info",
        id: "socketInfo",
        doc: "How clients shall follow this hub.",
        act: None,
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[json("SocketInfo")],
        problems: &[],
    },
    Route {
        method: "POST",
        path: "/api/socket/test",
        id: "socketTest",
        doc: "Whether this hub takes connections.",
        act: None,
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[json("SocketTest")],
        problems: &[],
    },
    Route {
        method: "DELETE",
        path: "/api/pipelines/{id}",
        id: "forgetPipeline",
        doc: "Forgets a pipeline and its history.",
        act: Some("forget"),
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[empty(204)],
        problems: &[Code::UnknownPipeline, STORE[0], STORE[1], STORE[2], Code::StoreFull],
    },
    Route {
        method: "GET",
        path: "/api/pipelines/{id}/events",
        id: "pollEvents",
        doc: "What came after a cursor, held until there is news where `wait` says so.",
        act: Some("view"),
        parameters: &[
            EPOCH,
            query("seq", Form::Whole(0, SAFE), "Of the cursor."),
            query("wait", Form::UpTo(MAX_WAIT_SECONDS), "For how long the answer may be held, in seconds."),
            query(
                "limit",
                Form::Whole(1, MAX_PAGE as u64),
                "The most events of an answer; more count as this many.",
            ),
            CLIENT,
        ],
        takes_events: false,
        from_memory: true,
        answers: &[json("EventsAnswer")],
        problems: &[Code::InvalidCursor, Code::LimitExceeded, STORE[0], STORE[1], STORE[2]],
    },
    Route {
        method: "POST",
        path: "/api/pipelines/{id}/events",
        id: "publishEvents",
        doc: "Reports events: one, an array, or one a line. All are taken, or none.",
        act: Some("report"),
        parameters: &[header(
            "RagPulse-Reporter",
            Form::Contract("ReporterId"),
            "Who reports; none is one without a name.",
        )],
        takes_events: true,
        from_memory: false,
        answers: &[json("PublishReceipt")],
        problems: &[
            Code::InvalidJson,
            Code::InvalidRequest,
            Code::UnknownPipeline,
            Code::TypeConflict,
            Code::BodyTooLarge,
            Code::BatchTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidEvent,
            Code::UnknownEvent,
            Code::ReservedField,
            Code::PipelineMismatch,
            Code::LimitExceeded,
            STORE[0],
            STORE[1],
            STORE[2],
            Code::StoreFull,
        ],
    },
    Route {
        method: "GET",
        path: "/api/pipelines/{id}/stream",
        id: "streamEvents",
        doc: "The same as server-sent events: the id of each is a cursor.",
        act: Some("view"),
        parameters: &[
            query("cursor", Form::Text, "`EPOCH:SEQ`: from where to go on."),
            header("Last-Event-ID", Form::Text, "The same, and goes before it."),
        ],
        takes_events: false,
        from_memory: true,
        answers: &[text("text/event-stream")],
        problems: &[Code::InvalidCursor, Code::LimitExceeded, STORE[0], STORE[1], STORE[2]],
    },
    Route {
        method: "GET",
        path: "/api/pipelines/{id}/files",
        id: "listFiles",
        doc: "The files of a pipeline, those beyond its state too.",
        act: Some("view"),
        parameters: &[
            query("state", Form::FileState, "Only those in this state."),
            query("q", Form::Text, "Only those whose name or path holds this text."),
            AFTER,
            query(
                "limit",
                Form::Whole(0, 1_000),
                "The most files of a page; more count as this many, 0 as 1.",
            ),
        ],
        takes_events: false,
        from_memory: true,
        answers: &[json("FilesPage")],
        problems: &[Code::UnknownPipeline, STORE[0], STORE[1], STORE[2]],
    },
    Route {
        method: "GET",
        path: "/api/pipelines/{id}/history",
        id: "readHistory",
        doc: "What happened in a pipeline, by file, event and time.",
        act: Some("history"),
        parameters: &[
            query("file", Form::Text, "Only of this file, by id or name."),
            query("event", Form::Text, "Only events of this name."),
            query("since", Form::Time, "Only those received at this time or later."),
            query("until", Form::Time, "Only those received before this time."),
            AFTER,
            query("limit", Form::Whole(1, 1_000), "The most events of a page; more count as this many."),
        ],
        takes_events: false,
        from_memory: false,
        answers: &[json("HistoryPage")],
        problems: &[Code::UnknownPipeline, STORE[0], STORE[1], STORE[2]],
    },
    Route {
        method: "GET",
        path: "/",
        id: "page",
        doc: "The dashboard. This and what follows is there with the dashboard only.",
        act: None,
        parameters: &[CACHED],
        takes_events: false,
        from_memory: false,
        answers: &[text("text/html; charset=utf-8"), empty(304)],
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/assets/{name}",
        id: "pagePart",
        doc: "A part of the dashboard.",
        act: None,
        parameters: &[CACHED],
        takes_events: false,
        from_memory: false,
        answers: &[text("text/javascript; charset=utf-8"), text("text/css; charset=utf-8"), empty(304)],
        problems: &[Code::NotFound],
    },
    Route {
        method: "GET",
        path: "/asyncapi.yaml",
        id: "asyncapi",
        doc: "The contract over Socket.IO, as AsyncAPI 3.",
        act: None,
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[text("application/yaml; charset=utf-8")],
        problems: &[],
    },
    Route {
        method: "GET",
        path: "/openapi.yaml",
        id: "openapi",
        doc: "This document.",
        act: None,
        parameters: &[],
        takes_events: false,
        from_memory: false,
        answers: &[text("application/yaml; charset=utf-8")],
        problems: &[],
    },
];
