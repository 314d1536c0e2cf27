//! A server on this machine that does what it is told, wrong things above all.

use std::{
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// What a server does once it has read a request. Behind the last step it waits for the next request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// The same bytes again and again, until the client has enough.
    Repeat(Vec<u8>),
    Wait(Duration),
    /// Nothing, until the client closes the connection.
    Hang,
    Close,
}

/// A request as the server read it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) is_h2: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

type Plan = dyn Fn(usize, &Seen) -> Vec<Step> + Send + Sync;

/// The server. It ends when it is dropped.
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    plan: Box<Plan>,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<usize>,
    /// How many connections the client closed.
    closed: watch::Sender<usize>,
}

impl Faulty {
    /// A server that asks its plan what to do with the n-th request, from 0.
    pub(crate) async fn start(
        plan: impl Fn(usize, &Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(None, Box::new(plan)).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(
        config: ServerConfig,
        plan: impl Fn(usize, &Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))), Box::new(plan)).await
    }

    /// A server with the same answer for all.
    pub(crate) async fn answering(bytes: Vec<u8>) -> Self {
        Self::start(move |_, _| vec![Step::Send(bytes.clone())]).await
    }

    async fn serve(tls: Option<TlsAcceptor>, plan: Box<Plan>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            plan,
            seen: Mutex::default(),
            connections: Mutex::default(),
            closed: watch::Sender::new(0),
        });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *of_task.connections.lock().unwrap() += 1;
                // A connection that breaks is what this server is for.
                tokio::spawn(connection(stream, tls.clone(), Arc::clone(&of_task)));
            }
        });
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// Waits until the client has closed so many connections.
    pub(crate) async fn closed(&self, n: usize) {
        let mut closed = self.shared.closed.subscribe();
        closed.wait_for(|closed| *closed >= n).await.unwrap();
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let Some(tls) = tls else {
        let _ = http1(stream, &shared).await;
        return;
    };
    match tls.accept(stream).into_fallible().await {
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            h2(stream, &shared).await
        }
        Ok(stream) => {
            let _ = http1(stream, &shared).await;
        }
        Err((_, mut stream)) => {
            // What was not read would make a reset of the end, and the alert before it be lost.
            let _ = timeout(
                Duration::from_secs(5),
                tokio::io::copy(&mut stream, &mut tokio::io::sink()),
            )
            .await;
        }
    }
}

async fn http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read_request(&mut stream, &mut buffer).await? else {
            shared.closed.send_modify(|closed| *closed += 1);
            return Ok(());
        };
        let steps = shared.plan(request);
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                }
                Step::Repeat(bytes) => loop {
                    if stream.write_all(&bytes).await.is_err() {
                        shared.closed.send_modify(|closed| *closed += 1);
                        return Ok(());
                    }
                },
                Step::Wait(wait) => sleep(wait).await,
                Step::Hang => {
                    while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
                    shared.closed.send_modify(|closed| *closed += 1);
                    return Ok(());
                }
                Step::Close => return stream.shutdown().await,
            }
        }
    }
}

impl Shared {
    fn plan(&self, request: Seen) -> Vec<Step> {
        let n = self.seen.lock().unwrap().len();
        let steps = (self.plan)(n, &request);
        self.seen.lock().unwrap().push(request);
        steps
    }
}

/// Of its steps only what is sent is done: as the body of an answer of status 200.
async fn h2(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        let mut lines = format!("{} {}\n", head.method, head.uri.path());
        for (name, value) in &head.headers {
            lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        let mut bytes = Vec::new();
        while let Some(Ok(chunk)) = body.data().await {
            bytes.extend_from_slice(&chunk);
        }
        let steps = shared.plan(Seen { head: lines, body: bytes, is_h2: true });
        let Ok(mut send) = respond.send_response(hyper::http::Response::new(()), false) else {
            return;
        };
        for step in steps {
            if let Step::Send(bytes) = step {
                let _ = send.send_data(bytes.into(), false);
            }
        }
        let _ = send.send_data(bytes::Bytes::new(), true);
    }
}

/// What TLS begins with, and HTTP does not.
const TLS_HANDSHAKE: u8 = 0x16;

async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Seen>> {
    loop {
        if buffer.starts_with(&[TLS_HANDSHAKE]) {
            return Ok(Some(Seen { head: String::new(), body: mem::take(buffer), is_h2: false }));
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut seen = Seen { head, body: Vec::new(), is_h2: false };
            let length: usize =
                seen.header("content-length").map_or(0, |length| length.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                seen.body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Some(seen));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// An answer of HTTP/1.1 with the length of its body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", length.as_str())]].concat();
    [head(status, &headers), body.to_vec()].concat()
}

/// Its head alone.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Some Reason\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// An authority of our own, for servers and clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and its key, as PEM.
    pub(crate) fn sign(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }
}

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Signed {
    /// A certificate that is its own authority, as `openssl req -x509` makes them.
    pub(crate) fn by_itself(names: &[&str], is_authority: bool) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// What a server with this certificate needs to know; with `clients` it takes only those that this authority signed.
    pub(crate) fn server(&self, clients: Option<&Authority>, alpn: &[&str]) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let chain = vec![self.certificate.der().clone()];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}
