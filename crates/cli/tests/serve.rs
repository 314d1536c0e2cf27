//! `flamesql serve` in one terminal and `flamesql query` in another: the same answers as from the folder itself.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::run::{CPU, Place, demo};

/// A server in a process of its own. It is killed when it is dropped.
struct Serving {
    child: Child,
    url: String,
    said: String,
    /// What it said since.
    later: Arc<Mutex<String>>,
}

impl Serving {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut command = place.command(env!("CARGO_BIN_EXE_flamesql"));
        let command = command.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut said = String::new();
        let url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said}")).unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some((_, rest)) = line.split_once("at http://") {
                break format!("http://{}", rest.split(',').next().unwrap_or_default());
            }
        };
        // What it logs is read, or it would wait for somebody to do so.
        let later = Arc::new(Mutex::new(String::new()));
        let said_later = Arc::clone(&later);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                said_later.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { child, url, said, later }
    }

    /// Waits until it has said something.
    fn says(&self, text: &str) {
        let start = Instant::now();
        while !self.later.lock().unwrap().contains(text) {
            let said = self.later.lock().unwrap().clone();
            assert!(start.elapsed() < Duration::from_secs(60), "never {text:?}: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[cfg(unix)]
    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let killed = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
    }

    /// Asks it to end, and waits.
    #[cfg(unix)]
    fn stop(mut self) -> Option<i32> {
        self.terminate();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bounds between which all of the demo lies.
const RANGE: [&str; 4] = ["--from", "2026-11-10", "--to", "2026-11-11"];

const STATEMENTS: &[&str] = &[
    "SELECT sum(value) FROM series",
    "SELECT service_name, pod, version, sum(value) FROM series GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT date_bin(INTERVAL '20 seconds', time) t, sum(value) FROM series GROUP BY 1 ORDER BY 1",
    "SELECT time, service_name, value FROM series ORDER BY 1, 2, 3",
    "SELECT labels['region'] r, count(*), avg(value) FROM series GROUP BY 1 ORDER BY 1",
    "SELECT function, sum(self), sum(total) FROM functions GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 30",
    "SELECT service_name, function, sum(self) FROM functions WHERE function LIKE 'main.%' GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT caller, callee, sum(value) FROM call_edges GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 30",
    "SELECT stack, sum(value) FROM samples WHERE pod = 'checkout-0' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
    "SELECT count(DISTINCT stack), sum(value) FROM samples",
    "SELECT function, sum(total) FILTER (WHERE version = '1.4.0') a, sum(total) FILTER (WHERE version = '1.5.0') b \
     FROM functions GROUP BY 1 ORDER BY 1 LIMIT 40",
    "SELECT flamegraph(stack, value) FROM samples",
    "SELECT * FROM callers_of('runtime.memmove') ORDER BY 1, 2",
    "SELECT profile_type, count(*) n, sum(value) FROM profiles WHERE profile_type LIKE 'process_cpu:cpu:%' GROUP BY 1",
    "SELECT * FROM profile_types ORDER BY 1",
    "SELECT service_name, count(*) FROM label_sets GROUP BY 1 ORDER BY 1",
];

#[test]
fn a_folder_answers_the_same_when_it_is_served() {
    let place = Place::new();
    let folder = demo().to_str().unwrap().to_owned();
    let serving = Serving::start(&place, &[&folder]);
    let mut wrong = Vec::new();
    for statement in STATEMENTS {
        let ask = |source: &str| {
            let args = ["query", source, "--type", CPU, "--format", "csv", statement];
            place.run(&[&args[..], &RANGE].concat())
        };
        let (own, served) = (ask(&folder), ask(&serving.url));
        if own.code != Some(0) || own.code != served.code || own.bytes != served.bytes {
            wrong.push(format!(
                "{statement}\n--- folder\n{}{}--- served\n{}{}",
                own.text(),
                own.stderr,
                served.text(),
                served.stderr
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        STATEMENTS.len(),
        wrong.join("\n")
    );
}

/// What a served folder lacks is told as it is of the folder, and is an error under --strict.
#[test]
fn what_a_served_folder_lacks_is_told() {
    let place = Place::with_profiles();
    place.write("profiles/damaged.pb.gz", "this is no profile\n");
    let serving = Serving::start(&place, &["profiles"]);
    // What another server in front of it is told it passes on.
    let second = Serving::start(&place, &[&serving.url]);
    for source in ["profiles", &serving.url, &second.url] {
        let sql = "SELECT sum(value) FROM series";
        let ask = |more: &[&str]| {
            place.run(&[&["query", source, "--type", CPU, sql][..], &RANGE, more].concat())
        };
        let told = ask(&[]);
        assert_eq!(told.code, Some(0), "{source}: {}", told.stderr);
        assert!(told.stderr.contains("skipped damaged.pb.gz"), "{source}: {}", told.stderr);
        assert_eq!(ask(&["--strict"]).code, Some(4), "{source}");
    }
}

#[test]
fn without_a_source_it_serves_the_demo_and_says_so() {
    let place = Place::new();
    let serving = Serving::start(&place, &[]);
    let range = "serving demo (inside the program), profiles from 2026-11-10T";
    assert!(serving.said.contains(range), "{}", serving.said);
    let check = place.run(&["check", &serving.url, "--from", "2026-11-10", "--to", "2026-11-11"]);
    let check = check.ok();
    for part in ["Pyroscope, storage v2", "flamesql-", "1ms", "profile types: 17", "service_name"] {
        assert!(check.contains(part), "{part}: {check}");
    }
    // Served by another one, it is still the same.
    let second = Serving::start(&place, &[&serving.url]);
    let ask = |source: &str| {
        let statement = "SELECT function, sum(self) FROM functions GROUP BY 1 ORDER BY 1";
        let args = ["query", source, "--type", CPU, "--format", "csv", statement];
        place.run(&[&args[..], &RANGE].concat()).ok().to_owned()
    };
    assert_eq!(ask(&second.url), ask("demo"));
}

#[cfg(unix)]
#[test]
fn it_stops_when_it_is_told_to() {
    let place = Place::new();
    assert_eq!(Serving::start(&place, &["--quiet"]).stop(), Some(0));
    // Who has not asked yet is not waited for.
    let serving = Serving::start(&place, &["--grace", "1h"]);
    let mut half = TcpStream::connect(serving.url.strip_prefix("http://").unwrap()).unwrap();
    half.write_all(b"GET /ready HTTP/1.1\r\nHos").unwrap();
    assert_eq!(serving.stop(), Some(0));
    // Who has is, up to the second time.
    let serving = Serving::start(&place, &["--grace", "1h"]);
    let address = serving.url.strip_prefix("http://").unwrap();
    let mut asking = TcpStream::connect(address).unwrap();
    let head = "POST /querier.v1.QuerierService/LabelNames HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9";
    asking
        .write_all(format!("{head}\r\nHost: {address}\r\nExpect: 100-continue\r\n\r\n").as_bytes())
        .unwrap();
    // It waits for the rest.
    let mut go_on = [0; 12];
    asking.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    serving.terminate();
    serving.says("waiting for 1 request (again to leave at once)");
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn what_is_refused() {
    let place = Place::new();
    place.write("notes.txt", "root:x:0:0:root:/root:/bin/bash\n");
    let taken = Serving::start(&place, &["--push"]);
    let address = taken.url.strip_prefix("http://").unwrap().to_owned();
    for (args, code, reason) in [
        (vec!["--listen", "0.0.0.0:4180"], 2, "without --access-token only this machine may ask"),
        (vec!["--listen", "nonsense"], 2, "cannot listen at \"nonsense\""),
        (vec!["--listen", &address], 1, "is another server there already?"),
        (
            vec!["--listen", "127.0.0.1:4199", "http://localhost:4199"],
            2,
            "this server's own address",
        ),
        (vec!["./nowhere"], 2, "no source \"./nowhere\""),
        (vec!["notes.txt"], 1, "read notes.txt: pprof profile: this is text and no pprof"),
        (vec!["--grace", "soon"], 2, "soon"),
        (vec!["--push", "demo"], 2, "cannot be used with"),
    ] {
        let run = place.run(&[&["serve"], args.as_slice()].concat());
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(reason), "{args:?}: {}", run.stderr);
    }
}

/// A provisioning file of Grafana's makes data sources: one at a server, one of files.
#[test]
fn data_sources_are_those_of_a_provisioning_file() {
    let place = Place::with_profiles();
    let demo = Serving::start(&place, &["demo"]);
    let file = format!(
        "apiVersion: 1\n\ndatasources:\n  - name: Grafana Pyroscope\n    type: phlare\n    url: {}\n    \
         jsonData:\n      minStep: '15s'\n      backendType: 'pyroscope'\n  - name: Files\n    uid: files\n    \
         type: grafana-pyroscope-datasource\n    url: file://{}\n",
        demo.url,
        place.path("profiles").display(),
    );
    place.write("sources/pyroscope.yaml", &file);
    let serving = Serving::start(&place, &["--config", "sources"]);
    assert!(serving.said.contains("serving Grafana Pyroscope"), "{}", serving.said);
    let script = r#"
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def ask(path, body=None):
    request = urllib.request.Request(sys.argv[1] + path, body and json.dumps(body).encode())
    return json.load(opener.open(request, timeout=60))
sources = ask("/api/datasources")
for source in sources:
    health = ask("/api/datasources/uid/%s/health" % source["uid"])
    assert health["status"] == "OK", health
    cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
    answer = ask("/api/ds/query", {"from": "2026-11-10", "to": "2026-11-11", "queries": [
        {"refId": "A", "datasource": {"uid": source["uid"]}, "queryType": "both", "profileTypeId": cpu, "intervalMs": 3600000}]})
    series, graph = answer["results"]["A"]["frames"]
    assert series["schema"]["fields"][1]["config"]["unit"] == "cores", series
    total = graph["data"]["values"][1][0]
    rate = sum(series["data"]["values"][1])
    assert round(rate * 3600 * 1e9) == total, (rate, total)
    print(source["name"], source["isDefault"], total)
"#;
    place.write("client.py", script);
    let mut command = place.command("python3");
    let command = command.args(["client.py", &serving.url]).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("this test needs python3");
    let (mut said, mut failed) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut failed).unwrap();
    assert!(child.wait().unwrap().success(), "{failed}");
    let of = |source: &str| {
        let sql = "SELECT sum(value) FROM series";
        let run = place
            .run(&[&["query", source, "--type", CPU, "--format", "csv", sql][..], &RANGE].concat());
        run.ok().lines().nth(1).unwrap().to_owned()
    };
    let expected =
        format!("Grafana Pyroscope True {}\nFiles False {}\n", of("demo"), of("profiles"));
    assert_eq!(said, expected);
}

/// The recipes of docs/http-api.md run as they stand, at the demo.
#[cfg(unix)]
#[test]
fn the_recipes_of_the_http_api_run() {
    let place = Place::new();
    if place.shell("command -v curl || true").ok().is_empty() {
        let what = "skipped: the recipes of docs/http-api.md: there is no curl";
        let _ = writeln!(std::io::stderr(), "{what}");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http-api.md");
    let page = fs::read_to_string(page).unwrap();
    let serving = Serving::start(&place, &[]);
    let recipes = page.split("```sh\ncurl ").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut answers = Vec::new();
    for recipe in recipes {
        let recipe = format!("curl {}", recipe.replace("http://127.0.0.1:4180", &serving.url));
        answers.push(place.shell(&recipe).ok().to_owned());
    }
    let [query, sql] = answers.as_slice() else { panic!("{}", answers.len()) };
    for part in [
        "\"status\":200",
        "\"pod\":\"checkout-0\"",
        "\"preferredVisualisationType\":\"flamegraph\"",
    ] {
        assert!(query.contains(part), "{part}: {query}");
    }
    assert!(sql.starts_with("function,self\n") && sql.lines().count() == 6, "{sql}");
}

/// With an access token others may ask who have it, and nobody else.
#[test]
fn an_access_token_opens_it() {
    let place = Place::new();
    let serving = Serving::start(&place, &["--access-token", "hidden-word", "demo"]);
    assert!(serving.said.contains("for whoever has the access token"), "{}", serving.said);
    assert!(!serving.said.contains("hidden-word"), "{}", serving.said);
    let refused = place.run(&["check", &serving.url]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    for more in [["--token", "hidden-word"], ["--user", "me:hidden-word"]] {
        let check = place.run(&[&["check", &serving.url][..], &more].concat());
        assert_eq!(check.code, Some(0), "{}", check.stderr);
    }
    let wrong = place.run(&["check", &serving.url, "--token", "hidden-words"]);
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
}

/// What is wrong with a provisioning file is told with its place, and nothing is served.
#[test]
fn a_wrong_provisioning_file_is_told() {
    let place = Place::new();
    for (text, code, part) in [
        (
            "apiVersion: 1\ndatasources:\n  - name: A\n    type: phlare\n    url: http://h\n    jsonData: {backendType: x}\n",
            2,
            "a.yaml:6:",
        ),
        ("apiVersion: 1\ndatasources: []\n", 2, "a.yaml"),
    ] {
        place.write("a.yaml", text);
        let run = place.run(&["serve", "--config", "a.yaml"]);
        assert!(run.stderr.contains(part), "{}", run.stderr);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
    }
}

/// A client that is not ours, in another language: Connect in JSON by Python's own library.
#[test]
fn a_client_in_python_reads_it() {
    let place = Place::new();
    let serving = Serving::start(&place, &["demo"]);
    let script = r#"
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def call(method, **fields):
    request = urllib.request.Request(sys.argv[1] + "/querier.v1.QuerierService/" + method,
        json.dumps(fields).encode(), {"Content-Type": "application/json"})
    return json.load(opener.open(request, timeout=60))
start, end = 1794268800000, 1794355200000
types = call("ProfileTypes", start=start, end=end)["profileTypes"]
cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
assert cpu in [t["ID"] for t in types], types
values = call("LabelValues", name="service_name", start=start, end=end)["names"]
series = call("SelectSeries", profileTypeID=cpu, labelSelector="{}", start=start, end=end, step=86400, groupBy=["service_name"])
graph = call("SelectMergeStacktraces", profileTypeID=cpu, labelSelector="{}", start=start, end=end)["flamegraph"]
total = sum(p["value"] for s in series["series"] for p in s["points"])
assert total == int(graph["total"]), (total, graph["total"])
print(",".join(values), graph["total"])
"#;
    place.write("client.py", script);
    let mut command = place.command("python3");
    let command = command.args(["client.py", &serving.url]).stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::piped()).spawn() else {
        panic!("this test needs python3");
    };
    let (mut said, mut failed) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut failed).unwrap();
    assert!(child.wait().unwrap().success(), "{failed}");
    let args = ["query", "demo", "--type", CPU, "--format", "csv", "SELECT sum(value) FROM series"];
    let own = place.run(&[&args[..], &RANGE].concat());
    let total = own.ok().lines().nth(1).unwrap().to_owned();
    assert!(said.trim().ends_with(&total), "{said} {total}");
    assert!(said.contains("checkout"), "{said}");
}
