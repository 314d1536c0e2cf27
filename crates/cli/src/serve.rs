//! `flamesql serve`: a source as a Pyroscope server on this machine.

use std::{
    env,
    ffi::OsStr,
    future::Future,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use flamesql_backend::{Backend, Memory};
use flamesql_datasource::{DataSource, Provisioning};
use flamesql_server::{Access, AccessLog, ApiSources, ServeOptions, Served};
use tokio::net::TcpListener;

use crate::{
    args::Serve,
    failure::Usage,
    source::{Source, is_url},
    text,
};

/// `flamesql serve`.
pub(crate) async fn run(args: &Serve) -> anyhow::Result<()> {
    let address = address(&args.listen)?;
    if let Some(typed) = args.source.as_deref().filter(|typed| is_url(typed)) {
        refuse_itself(typed, address)?;
    }
    let mut options = ServeOptions::default();
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
        for notice in source.notices() {
            say(&format!("notice: {notice}"));
        }
        let shown = source.to_string();
        let backend = Arc::clone(&source.backend);
        let of_api = DataSource::over("default", &source.schema, backend, source.server)?;
        options.sources = Some(of_api.into());
        (source.backend, shown)
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}: is another server there already?"))?;
    // Before anybody is told that it runs, and may want it to end.
    let stop = interrupted()?;
    let url = format!("http://{}", listener.local_addr()?);
    say(&format!("serving {shown}"));
    say(&format!("at {url}, for this machine alone, until Ctrl-C"));
    if !args.quiet {
        say(&format!("try: flamesql check {url}"));
    }
    Served::new(backend, options).serve(listener, stop).await?;
    say("stopped");
    Ok(())
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
fn address(typed: &str) -> Result<SocketAddr, Usage> {
    let usage = |why: String| {
        Usage::new(format!("cannot listen at {typed:?}: {why}"))
            .with_hint("an address of this machine and a port, such as 127.0.0.1:4180")
    };
    let mut found = typed.to_socket_addrs().map_err(|error| usage(error.to_string()))?;
    let address = found.next().ok_or_else(|| usage("it has no address".to_owned()))?;
    if !address.ip().is_loopback() {
        let why = "there is no authentication yet, so only this machine may ask";
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

/// Done when somebody wants this program to end.
fn interrupted() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_to() {
        assert!(address("127.0.0.1:0").is_ok() && address("[::1]:4180").is_ok());
        for typed in ["0.0.0.0:4180", "[::]:4180", "192.0.2.1:80", "4180", "", "nowhere"] {
            assert!(address(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_server_does_not_ask_itself() {
        let own = address("127.0.0.1:4180").unwrap();
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
