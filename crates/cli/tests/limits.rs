//! `ragpulse serve`: limits by flag and variable, proxies, and TLS with the command's own clients.
#![allow(clippy::unwrap_used)]

mod doctor_support;

use std::path::Path;
use std::process::Stdio;

use doctor_support::{Hub, PATIENCE, doctor, ragpulse};
use ragpulse_server::config::LIMITS;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

async fn output(mut command: Command) -> (i32, String, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn serve(more: &[&str]) -> Command {
    let mut command = ragpulse(&[&["serve", "--listen", "127.0.0.1:0", "--store", "memory:"], more].concat());
    for name in ["RAGPULSE_LIMITS", "RAGPULSE_TRUSTED_PROXIES", "RAGPULSE_TLS_CERT", "RAGPULSE_TLS_KEY"] {
        command.env_remove(name);
    }
    command
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_at_the_start() {
    for (wrong, says) in [
        (["--limit", "conections=5"], "did you mean 'connections'"),
        (["--limit", "connections"], "NAME=NUMBER"),
        (["--limit", "connections=0"], "must be 1 to"),
        (["--limit", "json_depth=1000"], "must be 8 to 120"),
        (["--trusted-proxy", "proxy.example"], "an address or a network"),
        (["--tls-cert", "cert.pem"], "--tls-key"),
    ] {
        let (code, _, said) = output(serve(&wrong)).await;
        assert_eq!(code, 2, "{wrong:?}: {said}");
        assert!(said.contains(says), "{wrong:?}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    for (certificate, says) in
        [("/none.pem", "/none.pem: it cannot be read"), (empty, "there is no certificate in it")]
    {
        let (code, _, said) = output(serve(&["--tls-cert", certificate, "--tls-key", empty])).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(says) && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test]
async fn limits_are_listed_as_they_would_be_and_documented() {
    let mut command = serve(&["--list-limits", "--limit", "connections=7", "--limit=batch_events=1_000"]);
    command.env("RAGPULSE_LIMITS", "reporters=9");
    let (code, listed, said) = output(command).await;
    assert_eq!((code, said.as_str()), (0, ""));
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md")).unwrap();
    assert_eq!(listed.lines().count(), LIMITS.len());
    for (line, limit) in listed.lines().zip(LIMITS) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(limit.name));
        let value = match limit.name {
            "connections" => 7,
            "batch_events" => 1_000,
            _ => limit.default,
        };
        assert_eq!(words.next(), Some(value.to_string().as_str()), "{line}");
        let row = page.lines().find(|row| row.starts_with(&format!("| `{}` |", limit.name)));
        let row = row.unwrap_or_else(|| panic!("docs/limits.md lacks {}", limit.name)).replace(',', "");
        assert!(row.contains(&format!("| {} |", limit.default)), "{row}");
        assert!(row.ends_with(if limit.counted { "| yes |" } else { "| no |" }), "{row}");
    }
    let mut by_variable = serve(&["--list-limits"]);
    by_variable.env("RAGPULSE_LIMITS", "reporters=9,pipelines=3");
    let (_, listed, _) = output(by_variable).await;
    let value =
        |name: &str| listed.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    assert_eq!((value("reporters "), value("pipelines ")), (Some("9"), Some("3")));
}

#[tokio::test]
async fn a_limit_of_the_command_line_holds() {
    let hub = Hub::with(&["--limit", "batch_events=2", "--trusted-proxy", "127.0.0.1"]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "docs" } });
    let publish = async |events: Value| {
        let request = http.post(format!("{}/api/pipelines/p/events", hub.url()));
        let request = request.header("content-type", "application/json").body(events.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(publish(json!([online, online])).await, 200);
    assert_eq!(publish(json!([online, online, online])).await, 413);
}

/// An authority, and what it issues, as files in a folder.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "An authority of a test");
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Puts a certificate that ends in this year where the hub reads it.
    fn issue(&self, last_year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(self.file("key.pem"), key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// A hub that speaks TLS, and its address by the name that the certificate is for.
async fn secret_hub(authority: &Authority) -> (Child, String) {
    let (certificate, key) = (authority.file("cert.pem"), authority.file("key.pem"));
    let mut child =
        serve(&["--tls-cert", &certificate, "--tls-key", &key]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("it starts");
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("https://"))
        .expect("it says that it speaks TLS");
    let url = url.replace("127.0.0.1", "localhost");
    (child, url)
}

#[tokio::test]
async fn the_commands_own_clients_go_through_tls() {
    let authority = Authority::new();
    authority.issue(2090);
    let (_child, url) = secret_hub(&authority).await;
    let mut publish = ragpulse(&["publish", "-", "--pipeline", "docs", "--url", &url]);
    publish.env("SSL_CERT_FILE", authority.file("authority.pem")).stdin(Stdio::piped());
    let mut child = publish.spawn().unwrap();
    let event = json!({ "event": "pipeline:online", "data": { "pipeline_type": "docs" } });
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{event}\n").as_bytes()).await.unwrap();
    drop(input);
    let said = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // HTTP, polling, the upgrade, the socket and the stream, each tried for itself.
    let found = doctor(&url, &["--ca", &authority.file("authority.pem")]).await;
    assert_eq!((found.exit, found.failed()), (0, vec![]), "{}", found.text);
    for check in ["certificate", "http", "upgrade", "socket", "polling", "stream"] {
        assert_eq!(found.code(check), "ok", "{}", found.text);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_certificate_is_read_again_on_sighup() {
    use rustix::process::{Pid, Signal, kill_process};
    let authority = Authority::new();
    authority.issue(2021);
    let (mut child, url) = secret_hub(&authority).await;
    let ca = authority.file("authority.pem");
    assert_eq!(doctor(&url, &["--ca", &ca]).await.code("certificate"), "tls_expired");
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut hang_up = async |outcome: &str| {
        kill_process(Pid::from_raw(child.id().unwrap().cast_signed()).unwrap(), Signal::HUP).unwrap();
        loop {
            let line =
                tokio::time::timeout(PATIENCE, log.next_line()).await.unwrap().unwrap().expect("it goes on");
            if line.contains("reload_tls") {
                assert!(line.contains(outcome), "{line}");
                return line;
            }
        }
    };
    // One that is wrong is named, and changes nothing.
    let key = std::fs::read(authority.file("key.pem")).unwrap();
    std::fs::write(authority.file("key.pem"), "nothing").unwrap();
    assert!(hang_up("failed").await.contains("there is no private key in it"));
    std::fs::write(authority.file("key.pem"), key).unwrap();
    assert_eq!(doctor(&url, &["--ca", &ca]).await.code("certificate"), "tls_expired");
    authority.issue(2090);
    hang_up("done").await;
    assert_eq!(doctor(&url, &["--ca", &ca]).await.code("certificate"), "ok");
}
