//! Provisioning files: what is read, and where what is wrong stands.

use std::{fs, path::Path};

use flamesql_datasource::{
    Allow, BackendType, Error, ErrorKind, InstanceSettings, Origin, Provisioning, Settings,
};
use proptest::prelude::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "4040",
        "WORD" => "hidden$WORD$$",
        "YES" => "true",
        "TYPE" => "phlare",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<Provisioning, Error> {
    Provisioning::parse_with(text, Path::new("f.yaml"), &lookup)
}

/// One data source with these lines.
fn one(lines: &str) -> Result<Provisioning, Error> {
    let head = "apiVersion: 1\ndatasources:\n  - name: a\n    type: phlare\n    url: http://h\n";
    parse(&format!("{head}{lines}"))
}

#[test]
fn the_file_of_grafanas_documentation() {
    let text = "apiVersion: 1

datasources:
  - name: Grafana Pyroscope
    type: phlare
    url: http://localhost:4100
    jsonData:
      minStep: '15s'
      backendType: 'pyroscope'
";
    let found = parse(text).unwrap();
    let [source] = found.sources() else { panic!() };
    let settings = &source.settings;
    assert_eq!((settings.name.as_str(), source.is_default), ("Grafana Pyroscope", false));
    assert_eq!(settings.backend_type, Some(BackendType::Pyroscope));
    assert_eq!(settings.min_step.as_ref().unwrap().to_string(), "15s");
    let Origin::Server(url) = &settings.origin else { panic!() };
    assert_eq!(url.to_string(), "http://localhost:4100");
    assert_eq!((source.place.line, source.place.column), (4, 5));
    assert!(found.notices().is_empty(), "{:?}", found.notices());
    assert!(found.source(&settings.uid).is_some() && found.source("x").is_none());
}

#[test]
fn a_file_with_all_of_it() {
    let text = "
# Comment
apiVersion: 1
prune: true
deleteDatasources:
  - name: Old
    orgId: 1
datasources:
  - name: Hello World
    type: grafana-pyroscope-datasource
    access: proxy
    orgId: 1
    version: 3
    editable: false
    withCredentials: false
    database: none
    isDefault: $YES
    url: https://me@h:$PORT/x
    basicAuth: True
    basicAuthUser: 123456
    correlations: [{targetUID: x}]
    jsonData: &json
      minStep: ${NONE}1m
      backendType: $__env{TYPE}
      timeout: 5
      keepCookies: [pyroscope_git_session]
      httpHeaderName1: X-Scope-OrgID
      tlsSkipVerify: true
      other: {deep: [1, '$PORT']}
    secureJsonData:
      basicAuthPassword: pa$$PORT$WORD
      httpHeaderValue1: 1234
      none: ~
  - name: B
    uid: b-1_C
    type: flamesql-pyroscope-datasource
    url: file:///var/profiles
  - name: C
    type: $TYPE
    url: http://h
    user: old
    jsonData: {<<: *json, minStep: 5s}
    secureJsonData: {password: ''}
";
    let found = parse(text).unwrap();
    let [a, b, c] = found.sources() else { panic!() };
    let settings = &a.settings;
    assert_eq!(settings.uid, "PA591A6D40BF42040");
    assert!(a.is_default && !b.is_default && std::ptr::eq(found.default_source(), a));
    let Origin::Server(url) = &settings.origin else { panic!() };
    assert_eq!(
        (url.to_string().as_str(), url.reveal()),
        ("https://h:4040/x", "https://me@h:4040/x")
    );
    let (user, word) = settings.http.basic_auth.as_ref().unwrap();
    assert_eq!((user.as_str(), word.reveal()), ("123456", "pa$PORThidden$WORD$$"));
    assert_eq!(settings.backend_type, Some(BackendType::Phlare));
    assert_eq!(settings.min_step.as_ref().unwrap().to_string(), "1m");
    assert_eq!(settings.http.timeouts.request.as_secs(), 5);
    assert_eq!(settings.keep_cookies, ["pyroscope_git_session"]);
    assert_eq!(settings.http.headers[0].1.reveal(), "1234");
    assert!(settings.http.tls.skip_verify);
    assert_eq!(b.settings.uid, "b-1_C");
    assert_eq!(b.settings.origin, Origin::Files("/var/profiles".into()));
    assert_eq!(c.settings.min_step.as_ref().unwrap().to_string(), "5s");
    assert_eq!(c.settings.http.basic_auth.as_ref().unwrap().0, "old");
    assert_eq!(c.settings.http.timeouts.request.as_secs(), 5);
    let notices: Vec<String> = found.notices().iter().map(ToString::to_string).collect();
    let unset = |line: &str| {
        format!(
            "f.yaml:{line}: jsonData.minStep has the variable \"NONE\" in it, which is not set and stands for nothing: a $ itself is written $$"
        )
    };
    assert_eq!(notices[0], unset("23:16"));
    assert!(
        notices[1].starts_with("f.yaml:39:5: jsonData.httpHeaderName1") || notices.len() == 2,
        "{notices:#?}"
    );
    assert!(!format!("{found:?}").contains("hidden"));
}

#[test]
fn what_is_wrong_has_a_place() {
    let name = |name: &str, rest: &str| {
        format!("  - {{name: {name}, type: phlare, url: 'http://h'{rest}}}\n")
    };
    let head = "apiVersion: 1\ndatasources:\n";
    for (text, line, column, expected) in [
        ("5", 1, 1, "a provisioning file is a mapping, and this is a single value"),
        ("- a", 1, 1, "a provisioning file is a mapping, and this is a list"),
        ("datasources: []", 1, 1, "apiVersion is missing: write apiVersion: 1 at the top"),
        ("apiVersion: 0", 1, 13, "apiVersion is \"0\", and has to be 1"),
        ("apiVersion: one", 1, 13, "apiVersion is \"one\", and has to be 1"),
        (
            "apiVersion: 1\ndatasources: {a: 1}",
            2,
            14,
            "datasources is a mapping, and has to be a list",
        ),
        (
            "apiVersion: 1\ndatasources: [x]",
            2,
            15,
            "a data source is a mapping, and this is a single value",
        ),
        ("apiVersion: 1\ndatasources: a: b", 2, 15, "this is no YAML"),
        (&format!("{head}  - name: a\n"), 3, 5, "type is missing"),
        (&format!("{head}  - type: phlare\n"), 3, 5, "name is missing"),
        (&format!("{head}  - name: [a]\n"), 3, 11, "name is a list, and has to be a single value"),
        (&format!("{head}  - {{name: a, type: phlare}}\n"), 3, 5, "url is missing"),
        (
            &format!("{head}{}{}", name("a", ""), name("a", ", uid: x")),
            4,
            5,
            "this data source has the name \"a\", and so does the one at f.yaml:3:5",
        ),
        (
            &format!("{head}{}{}", name("a", ", uid: x"), name("b", ", uid: x")),
            4,
            5,
            "this data source has the uid \"x\", and so does the one at f.yaml:3:5",
        ),
        (
            &format!("{head}{}{}", name("a", ", isDefault: true"), name("b", ", isDefault: 1")),
            4,
            5,
            "\"b\" says isDefault, and so does the one at f.yaml:3:5",
        ),
    ] {
        let error = parse(text).unwrap_err();
        let place = format!("f.yaml:{line}:{column}: ");
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("{place}{expected}")), "{text}\n{shown}");
        assert_eq!(error.kind(), ErrorKind::Provisioning);
        assert_eq!(error.place().unwrap().to_string() + ": ", place);
    }
    for (lines, line, column, expected) in [
        ("    isDefault: yes", 6, 16, "isDefault is \"yes\", and has to be true or false"),
        ("    isDefault: ''", 6, 16, "isDefault is \"\", and has to be true or false"),
        ("    basicAuth: maybe", 6, 16, "basicAuth is \"maybe\""),
        ("    basicAuth: [true]", 6, 16, "basicAuth is a list, and has to be a single value"),
        ("    basicAuth: true", 3, 5, "secureJsonData.basicAuthPassword is missing"),
        (
            "    basicAuth: true\n    secureJsonData: {a: b}",
            7,
            21,
            "secureJsonData.basicAuthPassword is missing",
        ),
        ("    uid: a/b", 6, 10, "uid is \"a/b\", and has to be letters"),
        (&format!("    uid: {}", "a".repeat(41)), 6, 10, "uid is \"aaa"),
        ("    jsonData: x", 6, 15, "jsonData is a single value, and has to be a mapping"),
        ("    jsonData:\n      minStep: 0s", 7, 16, "jsonData.minStep of \"0s\" is not above zero"),
        ("    jsonData:\n      minStep: 15", 7, 16, "jsonData.minStep is the number 15"),
        ("    jsonData:\n      minStep: '5'", 7, 16, "jsonData.minStep of \"5\" has no unit"),
        (
            "    jsonData:\n      backendType: loki",
            7,
            20,
            "jsonData.backendType is the text \"loki\"",
        ),
        ("    jsonData: {timeout: '$PORT'}", 6, 25, "jsonData.timeout is the text \"4040\""),
        (
            "    jsonData:\n      tlsSkipVerify: yes",
            7,
            22,
            "jsonData.tlsSkipVerify is the text \"yes\"",
        ),
        (
            "    jsonData:\n      minStep: ${",
            7,
            16,
            "jsonData.minStep, \"${\", has a ${ without an end",
        ),
        ("    secureJsonData: [x]", 6, 21, "secureJsonData is a list, and has to be a mapping"),
        ("    secureJsonData: {a: [hidden]}", 6, 25, "secureJsonData.a is a list"),
        ("    secureJsonData: {a: 'hidden${'}", 6, 25, "secureJsonData.a has a ${ without an end"),
        (
            "    secureJsonData: {a: '$__vault{hidden}'}",
            6,
            25,
            "secureJsonData.a takes something from $__vault{...}",
        ),
        ("    jsonData: {token: 'hidden${'}", 6, 23, "jsonData.token has a ${ without an end"),
        ("    type: loki", 6, 5, "the key \"type\" is there twice, in line 4"),
    ] {
        let error = one(lines).unwrap_err();
        let shown = format!("{error} {error:?}");
        let expected = format!("f.yaml:{line}:{column}: {expected}");
        assert!(shown.starts_with(&expected), "{lines}\n{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
    }
    let error = parse(&format!("{head}  - {{name: a, type: phlare, url: 'http://me:hidden@h:x'}}"))
        .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        shown.starts_with("f.yaml:3:34: url is no address") && !shown.contains("hidden"),
        "{shown}"
    );
    let error =
        parse(&format!("{head}  - {{name: a, type: phlare, url: 'http://me:hidden${{@h'}}"));
    let shown = error.unwrap_err().to_string();
    assert_eq!(shown, "f.yaml:3:34: url has a ${ without an end: a $ itself is written $$");
}

#[test]
fn secrets_are_in_no_notice() {
    let found = one("    password: hidden\n    secureJsonData: {a: 'x$hidden'}\n").unwrap();
    let notices: Vec<String> = found.notices().iter().map(ToString::to_string).collect();
    assert_eq!(notices.len(), 2);
    assert!(notices[0].starts_with("f.yaml:6:5: password is not read here"), "{notices:?}");
    assert!(
        notices[1].starts_with("f.yaml:7:25: secureJsonData.a has a variable in it"),
        "{notices:?}"
    );
    assert!(!notices.concat().contains("hidden"), "{notices:?}");
}

#[test]
fn other_types_are_passed_over() {
    let head = "apiVersion: 1\ndatasources:\n";
    let others =
        "  - {name: P, type: prometheus, isDefault: true, url: 5}\n  - {type: loki, jsonData: 7}\n";
    let ours = "  - {name: a, type: phlare, url: 'http://h'}\n  - {name: b, type: phlare, url: 'http://i'}\n";
    let found = parse(&format!("{head}{others}{ours}")).unwrap();
    let notices: Vec<String> = found.notices().iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [
            "skipped f.yaml:3:5: the data source \"P\" is of the type \"prometheus\", not of ours",
            "skipped f.yaml:4:5: the data source \"\" is of the type \"loki\", not of ours",
        ]
    );
    // None of ours is the default, so that it is the first.
    assert_eq!(found.default_source().settings.name, "a");
    let last = "  - {name: c, type: phlare, url: 'http://j', isDefault: true}\n";
    let found = parse(&format!("{head}{others}{ours}{last}")).unwrap();
    assert_eq!(found.default_source().settings.name, "c");
    let error = parse(&format!("{head}{others}")).unwrap_err().to_string();
    assert!(error.contains("f.yaml") && error.contains("prometheus, loki"), "{error}");
    for text in ["", "---\n", "# nothing", "apiVersion: 1", "apiVersion: 1\ndatasources:\n"] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.ends_with("it has none"), "{text}: {error}");
    }
}

#[test]
fn folders_are_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let of = |name: &str| {
        format!("apiVersion: 1\ndatasources: [{{name: {name}, type: phlare, url: 'http://h'}}]\n")
    };
    let load = || Provisioning::load_with(folder.path(), &lookup);
    let error = load().unwrap_err().to_string();
    assert!(error.contains("a folder without a .yaml"), "{error}");
    write("b.yml", &of("b"));
    write("a.yaml", &("\u{feff}".to_owned() + &of("a")));
    write("c.json", "{");
    write("d.yaml.bak", "{");
    fs::create_dir(folder.path().join("z.yaml")).unwrap();
    write("z.yaml/x.yaml", "{");
    let names = |found: &Provisioning| -> Vec<String> {
        found.sources().iter().map(|source| source.settings.name.clone()).collect()
    };
    assert_eq!(names(&load().unwrap()), ["a", "b"]);
    // A file is read whatever its name is.
    write("c.json", &of("c"));
    let one = Provisioning::load(folder.path().join("c.json")).unwrap();
    assert_eq!(names(&one), ["c"]);
    // Across files as well.
    write("c.yaml", &of("a"));
    let error = load().unwrap_err().to_string();
    let a = folder.path().join("a.yaml").display().to_string();
    let c = folder.path().join("c.yaml").display().to_string();
    assert!(
        error.starts_with(&format!("{c}:2:15: ")) && error.ends_with(&format!("{a}:2:15")),
        "{error}"
    );
    write("c.yaml", "a: 1\nb: \u{e9}x");
    fs::write(folder.path().join("c.yaml"), b"a: 1\nb: \xc3\xa9\xff").unwrap();
    let error = load().unwrap_err().to_string();
    assert_eq!(error, format!("{c}:2:5: this is not UTF-8"));
    write("c.yaml", &"# x\n".repeat(300_000));
    let error = load().unwrap_err().to_string();
    assert!(error.contains("larger than 1 MiB") && error.contains(&c), "{error}");
    let error = Provisioning::load(folder.path().join("none.yaml")).unwrap_err().to_string();
    assert!(error.contains("none.yaml"), "{error}");
}

#[test]
fn variables_come_from_files_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("word");
    fs::write(&secret, "hidden$PORT\n").unwrap();
    let lines = format!(
        "    basicAuth: true\n    secureJsonData: {{basicAuthPassword: '$__file{{{}}}'}}\n",
        secret.display()
    );
    let found = one(&lines).unwrap();
    let word = found.sources()[0].settings.http.basic_auth.as_ref().unwrap().1.reveal();
    assert_eq!(word, "hidden$PORT");
    fs::remove_file(&secret).unwrap();
    let error = one(&lines).unwrap_err().to_string();
    let expected = format!("cannot be taken from the file {:?}", secret.display().to_string());
    assert!(error.starts_with("f.yaml:7:41: ") && error.contains(&expected), "{error}");
    // The environment of the test has this one.
    let text =
        "apiVersion: 1\ndatasources: [{name: '$CARGO_PKG_NAME', type: phlare, url: 'http://h'}]\n";
    let found = Provisioning::parse(text, Path::new("f")).unwrap();
    assert_eq!(found.sources()[0].settings.name, "flamesql-datasource");
}

#[test]
fn bombs_are_refused() {
    let mut text = "apiVersion: 1\nx0: &x0 [y, y, y, y, y, y, y, y, y, y]\n".to_owned();
    for n in 1..30 {
        let list = vec![format!("*x{}", n - 1); 10].join(", ");
        text.push_str(&format!("x{n}: &x{n} [{list}]\n"));
    }
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.starts_with("f.yaml:") && error.contains("over 100000 parts"), "{error}");
}

/// A file with a secret wherever one may be.
const SECRETS: &str = r#"apiVersion: 1
datasources:
  - name: Hello
    type: phlare
    url: https://host:4040/path
    basicAuth: true
    basicAuthUser: me
    password: hidden
    jsonData: &data
      minStep: 15s
      backendType: pyroscope
      httpHeaderName1: X-Key
      token: 'hidden$NONE'
    secureJsonData:
      basicAuthPassword: "hidden$WORD"
      httpHeaderValue1: |
        hidden ${hidden}
  - {name: B, type: phlare, url: 'file:///x', jsonData: {<<: *data, backendType: files}}
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is damaged, what is said of it has a place in the file, is one line, and has no secret in it.
    #[test]
    fn damage_is_told_in_a_line_and_without_secrets(
        at in 0..SECRETS.len(),
        n_gone in 0_usize..3,
        put in r#"[-a: \n"'{}\[\],&*!|>%@`#?<$~\t]{0,2}"#,
    ) {
        let mut chars: Vec<char> = SECRETS.chars().collect();
        let end = (at + n_gone).min(chars.len());
        let gone: String = chars.splice(at..end, put.chars()).collect();
        let text: String = chars.into_iter().collect();
        let shown = match parse(&text) {
            Ok(found) => format!("{found:?}"),
            Err(error) => {
                let line = error.to_string();
                prop_assert!(!line.contains('\n'), "{line}");
                if let Some(place) = error.place() {
                    prop_assert!(place.line <= text.lines().count() + 1, "{line}");
                }
                format!("{line} {error:?}")
            }
        };
        prop_assert!(!shown.contains("hidden"), "-{gone:?} +{put:?} at {at}: {shown}");
    }

    #[test]
    fn any_settings_are_read_or_refused(json in r#"[-a-z0-9{}\[\]:,". ]{0,80}"#) {
        let instance = InstanceSettings {
            url: "http://h".to_owned(),
            json_data: json.into_bytes(),
            ..InstanceSettings::default()
        };
        if let Err(error) = Settings::read(&instance, Allow::Servers) {
            prop_assert!(error.key().is_some_and(|key| key.starts_with("jsonData")), "{error}");
        }
    }
}
