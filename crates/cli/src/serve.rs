//! `flamesql serve`: a source as a Pyroscope server on this machine.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use flamesql_backend::{Backend, Memory};
use flamesql_datasource::{DataSource, Provisioning};
use flamesql_profile::Timestamp;
use flamesql_server::{Access, AccessLog, AccessToken, ApiSources, ServeOptions, Served};
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    args::{self, Serve},
    failure::Usage,
    source::{Source, is_url},
    text,
};

/// `flamesql serve`.
pub(crate) async fn run(args: &Serve) -> anyhow::Result<()> {
    let access_token = args.access_token.clone().and_then(AccessToken::new);
    let address = address(&args.listen, access_token.is_some())?;
    if let Some(typed) = args.source.as_deref().filter(|typed| is_url(typed)) {
        refuse_itself(typed, address)?;
    }
    let mut options = ServeOptions::default();
    let grace = args::duration("--grace", &args.grace)?;
    options.grace = Duration::from_nanos(grace.nanos().unsigned_abs());
    let is_open = access_token.is_some();
    options.access_token = access_token;
    options.access = (!args.quiet).then(|| AccessLog::new(tell));
    let config = args.config.clone().or_else(|| {
        // What is typed goes before the environment.
        let is_typed = args.push || args.source.is_some();
        env::var_os("FLAMESQL_CONFIG")
            .filter(|path| !path.is_empty() && !is_typed)
            .map(PathBuf::from)
    });
    let (backend, shown) = if let Some(path) = config {
        let provisioning = Provisioning::load(&path).map_err(failed)?;
        for notice in provisioning.notices() {
            say(&format!("notice: {notice}"));
        }
        let sources = ApiSources::from(&provisioning);
        let default = sources.default_source();
        let settings = default.settings();
        refuse_itself(OsStr::new(&settings.origin.to_string()), address)?;
        let backend = Arc::clone(default.opened().await.map_err(failed)?.backend());
        let shown =
            format!("{} ({}) and all of {}", settings.name, settings.origin, path.display());
        options.sources = Some(sources);
        (backend, shown)
    } else if args.push {
        let memory = Memory::new();
        options.push = Some(memory.clone());
        let backend = Arc::new(memory) as Arc<dyn Backend>;
        let source = DataSource::over("default", "default", Arc::clone(&backend), None)?;
        options.sources = Some(source.into());
        (backend, "what is pushed to it".to_owned())
    } else {
        let source = Source::open(args.source.as_deref(), &args.connect, false).await?;
        // All is read for it, so that what was skipped is known.
        let shown = format!("{source}{}", times(&source).await?);
        for notice in source.notices() {
            say(&format!("notice: {notice}"));
        }
        let backend = Arc::clone(&source.backend);
        let of_api = DataSource::over("default", &source.schema, backend, source.server)?;
        options.sources = Some(of_api.into());
        (source.backend, shown)
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}: is another server there already?"))?;
    // Before anybody is told that it runs, and may want it to end.
    let mut interrupts = Interrupts::new()?;
    let url = format!("http://{}", listener.local_addr()?);
    say(&format!("serving {shown}"));
    let whom = if is_open { "whoever has the access token" } else { "this machine alone" };
    say(&format!("at {url}, for {whom}, until Ctrl-C"));
    if !args.quiet {
        say(&format!("try: flamesql check {url}"));
    }
    let served = Served::new(backend, options);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = pin!(served.clone().serve(listener, async { drop(stopped.await) }));
    tokio::select! {
        done = &mut serving => done?,
        () = interrupts.next() => {
            match served.n_under_way() {
                0 => {}
                1 => say("waiting for 1 request (again to leave at once)"),
                n => say(&format!("waiting for {n} requests (again to leave at once)")),
            }
            drop(stop);
            tokio::select! {
                done = &mut serving => done?,
                () = interrupts.next() => {}
            }
        }
    }
    say("stopped");
    Ok(())
}

/// From when to when there are profiles, as far as the source tells. Files without any are not worth serving.
async fn times(source: &Source) -> anyhow::Result<String> {
    let times = match (source.backend.first_and_last().await, &source.server) {
        (Ok(times), _) => times,
        (Err(error), None) => return Err(error.into()),
        // What a server does not tell it may be asked for all the same.
        (Err(_), Some(_)) => None,
    };
    match times {
        Some((first, last)) => Ok(format!(", profiles from {} to {}", second(first), second(last))),
        None if source.server.is_some() => Ok(String::new()),
        None => {
            let why = source.notices().into_iter().find(|notice| notice.is_missing);
            let why = why.map_or_else(String::new, |notice| format!(": {notice}"));
            let usage = Usage::new(format!("there are no profiles in {source}{why}"));
            Err(usage
                .with_hint("a source is a URL, a file or a folder of profiles, or 'demo'")
                .into())
        }
    }
}

/// A time up to its second.
fn second(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(second, _)| format!("{second}Z"))
}

/// Why there are no data sources: what stands in a file is for whoever wrote it.
#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn failed(error: flamesql_datasource::Error) -> anyhow::Error {
    use flamesql_datasource::ErrorKind::{Provisioning, Settings};
    match (error.kind(), error.hint()) {
        (Provisioning | Settings, hint) => {
            let usage = Usage::new(error.to_string());
            match hint {
                Some(hint) => usage.with_hint(hint).into(),
                None => usage.into(),
            }
        }
        (_, Some(hint)) => anyhow::anyhow!("{error}: {hint}"),
        (_, None) => anyhow::anyhow!("{error}"),
    }
}

/// Writes a line to stderr. If it is closed, nobody wants to know.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text::printable(line));
}

/// Where to listen: on this machine alone, as long as nobody has to say who he is.
fn address(typed: &str, has_token: bool) -> Result<SocketAddr, Usage> {
    let usage = |why: String| {
        Usage::new(format!("cannot listen at {typed:?}: {why}"))
            .with_hint("an address of this machine and a port, such as 127.0.0.1:4180")
    };
    let mut found = typed.to_socket_addrs().map_err(|error| usage(error.to_string()))?;
    let address = found.next().ok_or_else(|| usage("it has no address".to_owned()))?;
    if !address.ip().is_loopback() && !has_token {
        let why = "without --access-token only this machine may ask";
        return Err(usage(why.to_owned()));
    }
    Ok(address)
}

/// Refuses a source that would be this server itself: each question would ask the next.
fn refuse_itself(typed: &OsStr, own: SocketAddr) -> Result<(), Usage> {
    let typed = typed.to_string_lossy();
    let Some((_, rest)) = typed.split_once("://") else { return Ok(()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let Some((host, port)) = authority.rsplit_once(':') else { return Ok(()) };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    if is_here && port.parse() == Ok(own.port()) {
        let usage = Usage::new(format!("the source {authority} is this server's own address"));
        return Err(usage.with_hint("listen at another port: --listen 127.0.0.1:4181"));
    }
    Ok(())
}

/// A line for each request.
fn tell(access: &Access) {
    let Access { method, path, status, elapsed, .. } = access;
    say(&format!("{status} {method} {path} {:.1} ms", elapsed.as_secs_f64() * 1000.0));
}

/// Somebody wants this program to end, once or more often.
struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Without a way to be told it runs on.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_to() {
        assert!(address("127.0.0.1:0", false).is_ok() && address("[::1]:4180", false).is_ok());
        assert!(address("0.0.0.0:4180", true).is_ok() && address("nowhere", true).is_err());
        for typed in ["0.0.0.0:4180", "[::]:4180", "192.0.2.1:80", "4180", "", "nowhere"] {
            assert!(address(typed, false).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_server_does_not_ask_itself() {
        let own = address("127.0.0.1:4180", false).unwrap();
        for (typed, is_own) in [
            ("http://127.0.0.1:4180", true),
            ("http://me:secret@localhost:4180/pyroscope", true),
            ("http://[::1]:4180?x", true),
            ("http://127.0.0.1:4040", false),
            ("http://localhost", false),
            ("http://example.com:4180", false),
        ] {
            let refused = refuse_itself(OsStr::new(typed), own);
            assert_eq!(refused.is_err(), is_own, "{typed}");
            assert!(!format!("{refused:?}").contains("secret"));
        }
    }
}
