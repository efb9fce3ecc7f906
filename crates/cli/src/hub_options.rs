//! Where the hub is, and with which token it is spoken to: the options that every command has that speaks to one.
//!
//! *What may come in:* options, and the environment where they are not given. *What it never does:* show a token.

use std::path::PathBuf;

use clap::Args;
use ragpulse_client::reporter::ReporterBuilder;
use ragpulse_client::subscriber::SubscriberBuilder;
use ragpulse_client::{TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, TokenFile, TransportChoice};

use crate::failure::Failure;

/// Where the hub is.
#[derive(Args, Clone)]
pub(crate) struct HubOptions {
    /// The hub's address.
    #[arg(long = "url", env = "RAGPULSE_URL", default_value = ragpulse_client::DEFAULT_URL, id = "hub_url")]
    pub(crate) url: String,
    /// The token, where the hub asks for one. [env: RAGPULSE_TOKEN]
    #[arg(long, conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the token in one line, which somebody keeps up to date: it is read again when the token is about to end,
    /// and when the hub does not take it. [env: RAGPULSE_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// By what it is followed.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Choice {
    Auto,
    Websocket,
    Polling,
}

impl From<Choice> for TransportChoice {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Auto => Self::Auto,
            Choice::Websocket => Self::Websocket,
            Choice::Polling => Self::Polling,
        }
    }
}

/// With what the hub is spoken to.
#[derive(Clone)]
pub(crate) enum Token {
    Nothing,
    Fixed(String),
    File(TokenFile),
}

impl HubOptions {
    /// What was given by an option, else by the environment.
    pub(crate) fn token(&self) -> Result<Token, Failure> {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        choose(
            (self.token.clone(), self.token_file.clone()),
            (
                read(TOKEN_VARIABLE).map(|token| token.to_string_lossy().into_owned()),
                read(TOKEN_FILE_VARIABLE).map(PathBuf::from),
            ),
        )
    }
}

fn choose(
    options: (Option<String>, Option<PathBuf>),
    environment: (Option<String>, Option<PathBuf>),
) -> Result<Token, Failure> {
    let given = if options == (None, None) { environment } else { options };
    match given {
        (Some(_), Some(_)) => Err(Failure::usage(
            "RAGPULSE_TOKEN and RAGPULSE_TOKEN_FILE both give a token, and they may differ: unset one of them, or say which \
             by --token or --token-file",
        )),
        (Some(token), None) if token.is_empty() => Ok(Token::Nothing),
        (Some(token), None) => Ok(Token::Fixed(token)),
        (None, Some(file)) => Ok(Token::File(TokenFile::new(file))),
        (None, None) => Ok(Token::Nothing),
    }
}

impl Token {
    pub(crate) fn for_reporter(self, builder: ReporterBuilder) -> ReporterBuilder {
        match self {
            Self::Nothing => builder,
            Self::Fixed(token) => builder.token(token),
            Self::File(file) => builder.token_source(file),
        }
    }

    pub(crate) fn for_subscriber(self, builder: SubscriberBuilder) -> SubscriberBuilder {
        match self {
            Self::Nothing => builder,
            Self::Fixed(token) => builder.token(token),
            Self::File(file) => builder.token_source(file),
        }
    }

    /// The token as it is now.
    pub(crate) async fn now(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::Nothing => Ok(None),
            Self::Fixed(token) => Ok(Some(token.clone())),
            Self::File(file) => {
                let file = file.clone();
                let read = tokio::task::spawn_blocking(move || file.read()).await;
                let read = read.map_err(|error| Failure::new(error.to_string()))?;
                read.map(Some).map_err(|error| Failure::new(error.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_goes_before_the_environment_which_gives_one_of_both() {
        let token = |text: &str| Some(text.to_owned());
        let file = |path: &str| Some(PathBuf::from(path));
        let none = || (None, None);
        assert!(matches!(choose(none(), none()), Ok(Token::Nothing)));
        assert!(matches!(choose((token(""), None), none()), Ok(Token::Nothing)));
        assert!(matches!(choose(none(), (token("e"), None)), Ok(Token::Fixed(t)) if t == "e"));
        assert!(matches!(choose(none(), (None, file("e"))), Ok(Token::File(_))));
        assert!(
            matches!(choose((token("o"), None), (token("e"), file("e"))), Ok(Token::Fixed(t)) if t == "o")
        );
        assert!(matches!(choose((None, file("o")), (token("e"), None)), Ok(Token::File(_))));
        let Err(error) = choose(none(), (token("secret"), file("f"))) else { panic!("must be refused") };
        let error = error.to_string();
        assert!(
            error.contains("RAGPULSE_TOKEN and RAGPULSE_TOKEN_FILE") && !error.contains("secret"),
            "{error}"
        );
    }
}
