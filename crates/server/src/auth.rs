//! Who may do what. Every transport asks one [`Authoriser`] before it touches a pipeline, by way of the gate.
//!
//! *What comes in:* tokens, as text. *What it never does:* let anything pass that was not granted; say whether a pipeline
//! exists to somebody who may not see it; write a token into a log or an answer.
//!
//! [`Keys`] is the hub's own authoriser: keys of a file, and JSON Web Tokens. A host that has sessions of its own writes
//! an [`Authoriser`]:
//!
//! ```
//! use ragpulse_protocol::{Code, Problem};
//! use ragpulse_server::auth::{Authoriser, BoxFuture, Principal, Role};
//! use ragpulse_server::Hub;
//!
//! /// Asks the application's own sessions.
//! struct Sessions;
//!
//! impl Sessions {
//!     async fn look_up(&self, token: &str) -> Option<String> {
//!         (token == "a-session").then(|| "ada".to_owned())
//!     }
//! }
//!
//! impl Authoriser for Sessions {
//!     fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
//!         Box::pin(async move {
//!             let refused = || Problem::new(Code::Unauthorized, "Sign in first.");
//!             let user = self.look_up(token.ok_or_else(refused)?).await.ok_or_else(refused)?;
//!             // Nothing is allowed that is not granted here.
//!             Principal::named(user)
//!                 .with_role(Role::Viewer)
//!                 .with_pipelines(["docs-*"])
//!                 .map_err(|error| Problem::new(Code::Internal, error.to_string()))
//!         })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let parts = Hub::builder().authoriser(Sessions).build()?;
//! # let _ = parts.router;
//! # Ok(()) }
//! ```

/// The guide's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/authentication.md")]
struct Guide;

mod act;
mod audit;
mod authoriser;
mod gate;
mod keys;
mod pass;
mod pattern;
mod principal;
mod redact;

pub use act::{Act, Acts, Role, UnknownWord};
pub use authoriser::{Authoriser, BoxFuture, Open};
pub(crate) use gate::Caller;
pub use keys::{
    Algorithm, Explanation, Keys, KeysError, LEEWAY, MintError, NewKey, NewToken, SigningKey, TokenError,
    explain,
};
pub(crate) use pass::{Pass, Passes};
pub use pattern::{InvalidPattern, Pattern};
pub use principal::{Grants, Principal};
pub use redact::{Audience, Field, Redaction};
