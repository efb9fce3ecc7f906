//! `ragpulse token`: mints tokens, makes static keys, and says in plain words what a token is.
//!
//! A token that is made goes to standard output, alone, so that it can be piped; what else is to be known, to standard
//! error. What it never does: show a secret, or a token that it was given.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use ragpulse_protocol::Timestamp;
use ragpulse_server::auth::{
    Act, Algorithm, Explanation, Keys, MintError, NewKey, NewToken, Role, SigningKey, explain,
};
use ragpulse_server::clock::{Clock, SystemClock};

use crate::failure::Failure;
use crate::line::plain;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mint a JSON Web Token.
    Mint(Mint),
    /// Make a static key: the token to hand out, and the entry for the key file.
    New(New),
    /// Say what a token may do, until when, and why it would be refused.
    Explain(Explain),
}

/// What a token allows.
#[derive(Args)]
struct Rights {
    /// What its holder is.
    #[arg(long, value_name = "viewer|reporter|admin")]
    role: Option<Role>,
    /// What its holder may do in place of what the role may: view, history, report, forget, metrics.
    #[arg(long, value_name = "ACT", value_delimiter = ',')]
    acts: Vec<Act>,
    /// With which pipelines: names, with * for any run of characters. May be given several times. Default: none.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pipelines: Vec<String>,
}

#[derive(Args)]
struct Mint {
    #[command(flatten)]
    rights: Rights,
    /// For how long: 90s, 15m, 12h, 30d.
    #[arg(long, default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// For whom; stands in the audit log.
    #[arg(long, default_value = "ragpulse-token")]
    name: String,
    /// The hub's key file. Without it RAGPULSE_JWT_SECRET is the secret.
    #[arg(long, env = "RAGPULSE_KEYS", value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Which [[jwt]] of the file, by its id. Default: the only one.
    #[arg(long, value_name = "ID", requires = "keys")]
    key: Option<String>,
    /// The private key in PEM, for RS256, ES256 and EdDSA, of which the key file has only the public half.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// How it is signed, where a private key is given without a key file.
    #[arg(long, value_name = "RS256|ES256|EdDSA", requires = "private_key", conflicts_with = "keys")]
    algorithm: Option<Algorithm>,
}

#[derive(Args)]
struct New {
    /// The key's name; stands in the audit log, and under `revoked`.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    rights: Rights,
}

#[derive(Args)]
struct Explain {
    /// The token; `-` reads it from standard input, where no list of processes shows it.
    #[arg(env = "RAGPULSE_TOKEN", hide_env_values = true)]
    token: String,
    /// The hub's key file. Without it and without RAGPULSE_JWT_SECRET, only what the token says of itself is shown.
    #[arg(long, env = "RAGPULSE_KEYS", value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// The variable with the secret of HS256, where there is no key file.
pub(crate) const SECRET: &str = "RAGPULSE_JWT_SECRET";

/// The keys of a file, else of the variable; `None` where there is neither.
pub(crate) fn keys(file: Option<&std::path::Path>) -> Result<Option<Keys>, Failure> {
    let wrong = |error: &dyn std::fmt::Display, from: &str| {
        Failure::usage(format!("the keys of {from} cannot be used: {error}"))
    };
    if let Some(path) = file {
        return Keys::from_file(path).map(Some).map_err(|error| wrong(&error, &path.display().to_string()));
    }
    match secret() {
        Some(secret) => Keys::from_jwt_secret(&secret).map(Some).map_err(|error| wrong(&error, SECRET)),
        None => Ok(None),
    }
}

fn secret() -> Option<Vec<u8>> {
    let secret = std::env::var_os(SECRET)?.into_encoded_bytes().trim_ascii_end().to_vec();
    // Set but empty is how many set-ups say: not set.
    Some(secret).filter(|secret| !secret.is_empty())
}

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    match options.command {
        Command::Mint(options) => mint(options),
        Command::New(options) => new(options),
        Command::Explain(options) => say(options),
    }
}

fn mint(options: Mint) -> Result<(), Failure> {
    let pem = options
        .private_key
        .as_ref()
        .map(|path| {
            std::fs::read(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        })
        .transpose()?;
    let key = match (&options.keys, &pem, secret()) {
        (Some(path), pem, _) => SigningKey::from_file(path, options.key.as_deref(), pem.as_deref()),
        (None, Some(pem), _) => {
            let algorithm = options.algorithm.ok_or_else(|| {
                Failure::usage("say by --algorithm how the private key signs, or name the key file by --keys")
            })?;
            SigningKey::from_pem(algorithm, pem)
        }
        (None, None, Some(secret)) => SigningKey::from_secret(&secret),
        (None, None, None) => {
            return Err(Failure::usage(format!(
                "there is no key to sign by: name the hub's key file by --keys, or set {SECRET}"
            )));
        }
    };
    let Rights { role, acts, pipelines } = options.rights;
    warn_of_none(&pipelines);
    let acts = Some(acts).filter(|acts| !acts.is_empty());
    let wanted = NewToken { name: options.name, role, acts, pipelines, ttl: options.ttl };
    let now = SystemClock::default().now();
    let (token, id) = key.and_then(|key| key.mint(&wanted, now)).map_err(|error| refused(&error))?;
    println!("{token}");
    let end = Timestamp::from_millis(
        now.as_millis().saturating_add(i64::try_from(options.ttl.as_millis()).unwrap_or(i64::MAX)),
    );
    eprintln!("It holds until {end}. To revoke it before, add its id to `revoked` in the key file: \"{id}\"");
    Ok(())
}

fn refused(error: &MintError) -> Failure {
    Failure::usage(format!("no token: {error}"))
}

fn warn_of_none(pipelines: &[String]) {
    if pipelines.is_empty() {
        eprintln!(
            "It names no pipeline, so it allows nothing but acts on the hub as a whole: --pipelines '*' is all."
        );
    }
}

fn new(options: New) -> Result<(), Failure> {
    let Rights { role, acts, pipelines } = options.rights;
    warn_of_none(&pipelines);
    let key = NewKey::generate().map_err(|error| refused(&error))?;
    let list = |words: Vec<String>| words.iter().map(|word| toml_text(word)).collect::<Vec<_>>().join(", ");
    let mut entry =
        format!("[[key]]\nname = {}\nhash = {}\n", toml_text(&options.name), toml_text(&key.hash));
    if let Some(role) = role {
        entry += &format!("role = \"{role}\"\n");
    }
    if !acts.is_empty() {
        entry += &format!("acts = [{}]\n", list(acts.iter().map(ToString::to_string).collect()));
    }
    entry += &format!("pipelines = [{}]\n", list(pipelines));
    // What would be refused in the file is refused before it is handed out.
    Keys::from_toml(&entry, ".").map_err(|error| Failure::usage(format!("no key: {error}")))?;
    println!("{}", key.token);
    eprintln!("This is shown once. Add to the key file, and have the hub read it again (SIGHUP):\n\n{entry}");
    Ok(())
}

/// A text as TOML has it, which is as JSON has it.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn say(options: Explain) -> Result<(), Failure> {
    let token = if options.token == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(64 * 1024)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        text
    } else {
        options.token
    };
    let keys = keys(options.keys.as_deref())?;
    let explanation = explain(token.trim(), keys.as_ref())
        .map_err(|error| Failure::new(format!("nothing can be told of this token: {error}")))?;
    for line in lines(&explanation) {
        println!("{}", plain(&line));
    }
    match &explanation.refused {
        Some(error) => Err(Failure::new(format!("the hub would refuse it: {error}"))),
        None => Ok(()),
    }
}

fn lines(told: &Explanation) -> Vec<String> {
    let none = || "nobody named".to_owned();
    let listed = |words: &[String], none: &str| {
        if words.is_empty() { none.to_owned() } else { words.join(", ") }
    };
    let mut lines = vec![
        format!("what:      {}", told.kind),
        format!("for:       {}", told.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(none)),
        format!("role:      {}", told.role.as_deref().unwrap_or("none")),
        format!("may:       {}", listed(&told.acts, "nothing")),
        format!("pipelines: {}", listed(&told.pipelines, "none")),
    ];
    if let Some(start) = told.not_before {
        lines.push(format!("from:      {start}"));
    }
    lines.push(match told.expires_at {
        Some(end) => format!("until:     {end}"),
        None => "until:     no end".to_owned(),
    });
    if let Some(id) = &told.token_id {
        lines.push(format!("id:        {id}  (what `revoked` in the key file names)"));
    }
    lines.push(match (&told.refused, told.checked) {
        (Some(error), _) => format!("verdict:   refused: {error}"),
        (None, true) => "verdict:   these keys take it".to_owned(),
        (None, false) => {
            "verdict:   not checked, this is only what it says of itself; name the keys by --keys".to_owned()
        }
    });
    lines
}

/// `90s`, `15m`, `12h`, `30d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a whole number from 1 and s, m, h or d, such as 12h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|seconds| (1..=36_500 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}
