//! Functions behind TLS, and behind a name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge_sidecar::upstream::retry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::client::get;
use crate::support::free_port;
use crate::support::origin::{Origin, Reply};
use crate::support::routes::{RULES, each};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

/// A certificate authority of our own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        Self { issuer, folder: tempfile::tempdir().expect("a folder") }
    }

    /// Its certificate, as a `ca_file`.
    fn file(&self) -> PathBuf {
        let file = self.folder.path().join("ca.pem");
        std::fs::write(&file, self.issuer.pem()).expect("writable");
        file
    }

    /// A server with a certificate for `name`.
    fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).expect("a name").signed_by(&key, &self.issuer).expect("a certificate");
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let config = config.expect("known versions").with_no_client_auth().with_single_cert(chain, key);
        TlsAcceptor::from(Arc::new(config.expect("a key for the certificate")))
    }
}

/// A sidecar in front of `https://HOST:PORT` that trusts `authority` only.
async fn behind_tls(host: &str, origin: &Origin, authority: &Authority) -> Sidecar {
    let file = authority.file();
    let url = format!("https://{host}:{}", origin.address.port());
    in_front_of(&url).rules(RULES).with(|s| s.upstreams[0].ca_file = Some(file)).start().await
}

async fn ready(sidecar: &Sidecar) -> crate::support::client::Answer {
    crate::support::client::send(sidecar.admin, &get("/readyz").header("connection", "close")).await
}

async fn until_ready(sidecar: &Sidecar) {
    until("the sidecar is ready", async || (ready(sidecar).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_behind_tls_are_reached_on_every_way_over_kept_connections() {
    let authority = Authority::new();
    let origin = Origin::start_tls(authority.server("localhost"), |seen| Reply::ok(seen.header("host"))).await;
    let sidecar = behind_tls("localhost", &origin, &authority).await;
    until_ready(&sidecar).await;
    let host = format!("localhost:{}", origin.address.port());
    let mut connection = sidecar.connect().await;
    for round in 0..5 {
        for (kind, request) in each(&format!("tls{round}")) {
            let answer = connection.send(&request).await;
            assert_eq!((answer.status, answer.text()), (200, host.clone()), "{kind}: Host is the URL's, not the caller's");
            let seen = origin.seen().pop().expect("it was asked");
            assert_eq!(seen.header("x-forwarded-host"), "functions.local", "{kind}: which the function still learns");
        }
    }
    assert_eq!(connection.send(&get("/profile/tls0")).await.header("x-cache"), "HIT");
    let pool = &sidecar.metrics().await["clientPool"]["functions"];
    let [created, reused] = ["created", "reused"].map(|key| pool[key].as_u64().expect("a number"));
    assert_eq!(created + reused, 20, "{pool}");
    assert!(created < 10, "{pool}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_prove_its_name_is_not_asked() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (who, server) in [("another name", ours.server("other.test")), ("another authority", theirs.server("localhost"))] {
        let origin = Origin::start_tls(server, |_| Reply::ok("secret")).await;
        let sidecar = behind_tls("localhost", &origin, &ours).await;
        until_ready(&sidecar).await;
        for (kind, request) in each("tls") {
            let answer = sidecar.send(request).await;
            assert_eq!((answer.status, &answer.json()["error"]), (502, &"tls_failed".into()), "{who}, {kind}");
            assert_eq!(answer.json()["requestId"], answer.header("x-request-id"), "{who}, {kind}");
        }
        assert_eq!(origin.count(), 0, "{who}: nothing was told to it");
        sidecar.until_series(r#"edge_sidecar_upstream_retries_total{upstream="functions",reason="connect"}"#, 0.0).await;
        sidecar.until_series(r#"edge_sidecar_upstream_connections{upstream="functions",state="in_use"}"#, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_nobody_answers_is_504() {
    // this origin waits for the first line of a request, which never comes
    let origin = Origin::start(|_| Reply::ok("plain")).await;
    let hasty = |s: &mut edge_sidecar::config::Sidecar| {
        s.upstreams[0].connect = Duration::from_millis(100);
        s.upstreams[0].retries = retry::Settings { attempts: 2, backoff: Duration::ZERO };
    };
    let url = format!("https://localhost:{}", origin.address.port());
    let sidecar = in_front_of(&url).rules(RULES).with(hasty).start().await;
    until_ready(&sidecar).await;
    for (n, (kind, request)) in (1..).zip(each("hello")) {
        let answer = sidecar.send(request).await;
        assert_eq!((answer.status, &answer.json()["error"]), (504, &"connect_timeout".into()), "{kind}");
        sidecar.until_series(r#"edge_sidecar_upstream_retries_total{upstream="functions",reason="connect"}"#, f64::from(n)).await;
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_given_by_name_is_found() {
    let origin = Origin::start(|seen| Reply::ok(seen.header("host"))).await;
    let sidecar = in_front_of(&format!("http://localhost:{}", origin.address.port())).rules(RULES).start().await;
    until_ready(&sidecar).await;
    for (kind, request) in each("name") {
        let answer = sidecar.send(request).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "functions.local"), "{kind}: without TLS the caller's Host goes along");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_502_and_not_ready() {
    let url = format!("http://nowhere.invalid:{}", free_port());
    let few =
        |s: &mut edge_sidecar::config::Sidecar| s.upstreams[0].retries = retry::Settings { attempts: 1, ..retry::Settings::default() };
    let sidecar = in_front_of(&url).rules(RULES).with(few).start().await;
    for (kind, request) in each("nowhere") {
        let answer = sidecar.send(request).await;
        assert_eq!((answer.status, &answer.json()["error"]), (502, &"connect_failed".into()), "{kind}");
    }
    let answer = ready(&sidecar).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("upstream"), "{}", answer.text());
}
