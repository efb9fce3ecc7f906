//! `ragpulse doctor`: what is wrong between here and a hub, whose fault it probably is, and what to do.
//!
//! *What it is for:* people who run a hub behind proxies. *What may come in:* an address, and whatever answers there. *What it
//! never does:* change anything at the hub: it sends GET, the handshakes of Socket.IO and `ping`, and neither subscribes nor
//! publishes.
//!
//! Each check stands on earlier ones ([`Check::needs`]); what stands on a failed one is skipped.

mod answer;
mod auth;
mod caching;
mod clock;
mod finding;
mod http;
mod network;
mod polling;
mod report;
mod session;
mod socket;
mod stream;
mod target;
mod tls;
mod trust;
mod upgrade;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ragpulse_protocol::PipelineId;
use ragpulse_protocol::http::SocketInfo;

use self::answer::Answer;
use self::auth::Sight;
use self::finding::{Check, Finding, Verdict};
use self::report::{Entry, Printer};
use self::socket::{Pong, Socket};
use self::target::Target;
use self::upgrade::WebSocket;
use crate::HubOptions;
use crate::failure::Failure;
use crate::hub_options::Token;

#[derive(Args)]
pub(crate) struct Options {
    /// The hub's address; the same as --url.
    #[arg(value_name = "URL")]
    address: Option<String>,
    /// How long one step may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// Take the long steps too, in about two minutes: answers held for 25 s, a socket without a word for 65 s.
    #[arg(long)]
    thorough: bool,
    /// A file (PEM) with authorities to trust beside those of this machine.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The pipeline to look at. Without it one that nobody reports to, or the first there is.
    #[arg(long, value_name = "ID")]
    pipeline: Option<PipelineId>,
    /// Pages of this origin shall use the hub, such as https://app.example. Default: those of the hub's own address.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubOptions,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, such as 5".to_owned())?;
    if !(0.1..=300.0).contains(&seconds) {
        return Err("give 0.1 to 300 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let url = options.address.as_deref().unwrap_or(&options.hub.url);
    if options.origin.as_ref().is_some_and(|origin| !origin.contains("://")) {
        return Err(Failure::usage("--origin: an origin has a scheme, such as https://app.example"));
    }
    let token = match options.hub.token()? {
        Token::Nothing => Ok(None),
        Token::Fixed(token) => Ok(Some(token)),
        Token::File(file) => file.read().map(Some),
    };
    let target = Target::new(url, token, options.ca.as_deref(), options.timeout, options.thorough)?;
    let shown = target.shown();
    let printer = Printer::new(options.json);
    printer.begin(&shown)?;
    let mut visit = Visit::new(target, &options);
    let mut entries: Vec<Entry> = Vec::new();
    for check in Check::ALL.iter().copied() {
        let in_the_way = check.needs().iter().find_map(|need| {
            let entry = entries.iter().find(|entry| entry.check == *need)?;
            entry.finding.blocks(*need)
        });
        let finding = match in_the_way {
            Some(because) => Finding::skipped(because),
            None => visit.look(check).await,
        };
        let entry = Entry { check, finding };
        printer.show(&entry)?;
        entries.push(entry);
    }
    printer.end(&shown, &entries)?;
    let failed = entries.iter().filter(|entry| entry.finding.verdict == Verdict::Failed).count();
    if failed > 0 {
        return Err(Failure::new(format!("{failed} of {} checks failed", entries.len())));
    }
    Ok(())
}

/// What earlier checks found and later ones need.
struct Visit<'a> {
    target: Target,
    options: &'a Options,
    addresses: Vec<SocketAddr>,
    health: Option<Answer>,
    info: Option<(SocketInfo, Answer)>,
    sight: Sight,
    upgraded: Option<WebSocket>,
    socket: Option<Socket>,
    pongs: Vec<Pong>,
}

impl<'a> Visit<'a> {
    fn new(target: Target, options: &'a Options) -> Self {
        Self {
            target,
            options,
            addresses: Vec::new(),
            health: None,
            info: None,
            sight: Sight::default(),
            upgraded: None,
            socket: None,
            pongs: Vec::new(),
        }
    }

    async fn look(&mut self, check: Check) -> Finding {
        // What a check needs is there when those that it needs have not failed.
        self.try_look(check)
            .await
            .unwrap_or_else(|| Finding::not_needed("an earlier check brought nothing to look at"))
    }

    async fn try_look(&mut self, check: Check) -> Option<Finding> {
        let target = &self.target;
        let named = self.options.pipeline.as_ref();
        Some(match check {
            Check::Name => keep(network::name(target).await, &mut self.addresses),
            Check::Connection => {
                keep(network::connection(target, &self.addresses).await, &mut self.addresses)
            }
            Check::Certificate => tls::certificate(target, &self.addresses).await,
            Check::Http => keep(http::http(target, &self.addresses).await, &mut self.health),
            Check::Host => http::host(target, self.health.as_ref()?),
            Check::Hub => keep(http::hub(target, self.health.as_ref()?).await, &mut self.info),
            Check::Ready => http::ready(target, &self.info.as_ref()?.0).await,
            Check::Version => http::version(&self.info.as_ref()?.0),
            Check::Origin => http::origin(target, self.options.origin.as_deref()).await,
            Check::Caching => {
                let (info, answer) = self.info.as_ref()?;
                caching::caching(target, info, answer).await
            }
            Check::Auth => keep(auth::auth(target, named).await, &mut self.sight),
            Check::Polling => polling::polling(target, self.sight.waits_on.as_ref()).await,
            Check::Stream => {
                stream::stream(target, self.sight.known(named), self.sight.waits_on.as_ref()).await
            }
            Check::Upgrade => keep(upgrade::upgrade(target, &self.addresses).await, &mut self.upgraded),
            Check::Socket => keep(session::socket(target, self.upgraded.take()?).await, &mut self.socket),
            Check::Reporting => session::reporting(target, self.socket.as_mut()?).await,
            Check::Latency => keep(session::latency(target, self.socket.as_mut()).await, &mut self.pongs),
            Check::StaysOpen => session::stays_open(target, self.socket.as_mut()?).await,
            Check::Clock => {
                let (info, answer) = self.info.as_ref()?;
                clock::clock(info, answer, &self.pongs)
            }
        })
    }
}

/// Keeps what a check brought beside its finding.
fn keep<T>((finding, brought): (Finding, T), place: &mut T) -> Finding {
    *place = brought;
    finding
}
