//! What Grafana says of a data source: what becomes of it, and what is refused.

use std::time::Duration;

use flamesql_backend::Secret;
use flamesql_datasource::{
    Allow, BackendType, Error, ErrorKind, ErrorSource, InstanceSettings, Origin, Settings,
};
use flamesql_profile::Timestamp;
use serde_json::{Value, json};

/// Settings with this `jsonData` and these secrets.
fn with(json_data: &Value, secrets: &[(&str, &str)]) -> Result<Settings, Error> {
    let mut instance = InstanceSettings {
        url: "http://localhost:4040".to_owned(),
        json_data: json_data.to_string().into_bytes(),
        ..InstanceSettings::default()
    };
    for (key, value) in secrets {
        instance.decrypted_secure_json_data.insert((*key).to_owned(), Secret::new(*value));
    }
    Settings::read(&instance, Allow::Servers)
}

fn refused(json_data: &Value, secrets: &[(&str, &str)]) -> Error {
    let error = with(json_data, secrets).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert_eq!((error.status(), error.error_source()), (400, ErrorSource::Downstream));
    error
}

#[test]
fn nothing_set_is_the_defaults() {
    for json_data in [json!({}), Value::Null, json!({"minStep": null, "backendType": null})] {
        let settings = with(&json_data, &[]).unwrap();
        assert_eq!(settings.min_step.as_ref().unwrap().step().nanos(), 15_000_000_000);
        assert_eq!(settings.backend_type, None);
        let times = &settings.http.timeouts;
        let seconds = [times.request, times.connect, times.tls_handshake, times.idle];
        assert_eq!(seconds.map(|time| time.as_secs()), [30, 10, 10, 90]);
        assert_eq!((times.keep_alive.as_secs(), times.max_idle), (30, 100));
        assert!(settings.http.basic_auth.is_none() && settings.http.headers.is_empty());
        assert!(!settings.http.tls.skip_verify && settings.notices.is_empty());
    }
    let settings = with(&json!({"minStep": "", "backendType": ""}), &[]).unwrap();
    assert_eq!(
        (settings.min_step.unwrap().to_string(), settings.backend_type),
        ("15s".into(), None)
    );
}

#[test]
fn settings_come_as_grafana_writes_them() {
    let of_http = json!({
        "uid": "u", "name": "n", "url": "http://h", "user": "", "basicAuthEnabled": false,
        "basicAuthUser": "", "jsonData": {"minStep": "1m"}, "decryptedSecureJsonData": {"a": "b"},
        "updated": "2026-11-22T16:50:00+01:00", "id": 5, "type": "phlare", "apiVersion": "",
    });
    let of_go = json!({
        "UID": "u", "Name": "n", "URL": "http://h", "User": "", "BasicAuthEnabled": false,
        "BasicAuthUser": "", "JSONData": {"minStep": "1m"}, "DecryptedSecureJSONData": {"a": "b"},
        "Updated": "2026-11-22T15:50:00Z", "Database": "",
    });
    let of_text = json!({
        "uid": "u", "name": "n", "url": "http://h", "jsonData": "{\"minStep\": \"1m\"}",
        "updated": "2026-11-22T15:50:00Z",
    });
    for json in [of_http, of_go, of_text] {
        let instance: InstanceSettings = serde_json::from_value(json).unwrap();
        let settings = Settings::read(&instance, Allow::Servers).unwrap();
        assert_eq!((settings.uid.as_str(), settings.name.as_str()), ("u", "n"));
        assert_eq!(settings.min_step.unwrap().to_string(), "1m");
        assert_eq!(settings.updated, Some(Timestamp::from_nanos(1_795_362_600_000_000_000)));
    }
    // The zero of Go's times, and nothing at all.
    let json = json!({
        "url": "http://h", "updated": "0001-01-01T00:00:00Z", "jsonData": null,
        "decryptedSecureJsonData": null,
    });
    let instance: InstanceSettings = serde_json::from_value(json).unwrap();
    assert_eq!(Settings::read(&instance, Allow::Servers).unwrap().updated, None);
    for secrets in [json!({"token": 5}), json!(["hidden"]), json!("hidden")] {
        let json = json!({"url": "http://h", "decryptedSecureJsonData": secrets});
        let error = serde_json::from_value::<InstanceSettings>(json).unwrap_err().to_string();
        assert!(error.contains("secret") && !error.contains("hidden"), "{error}");
    }
}

#[test]
fn the_type_is_one_of_five_or_none() {
    for kind in BackendType::ALL.into_iter().filter(|kind| *kind != BackendType::Files) {
        let settings = with(&json!({"backendType": kind.as_str()}), &[]).unwrap();
        assert_eq!(settings.backend_type, Some(kind));
    }
    for wrong in ["Phlare", "pyroscope ", "unknown", "prometheus"] {
        let error = refused(&json!({"backendType": wrong}), &[]);
        let expected = format!(
            "jsonData.backendType is the text {wrong:?}, and has to be one of phlare, pyroscope, grafana-pyroscope, legacy-pyroscope, files"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.key(), Some("jsonData.backendType"));
    }
    let error = refused(&json!({"backendType": "files"}), &[]);
    assert!(error.to_string().starts_with("url leads to no file"), "{error}");
}

#[test]
fn a_wrong_min_step_is_kept_as_an_error() {
    for (wrong, part) in [
        (json!("0s"), "jsonData.minStep of \"0s\" is not above zero"),
        (json!("-15s"), "\"-15s\" is not above zero"),
        (json!("5"), "\"5\" has no unit"),
        (json!("1d12h"), "\"1d12h\""),
        (json!("fast"), "\"fast\""),
        (json!(15), "jsonData.minStep is the number 15, and has to be a text"),
        (json!(["15s"]), "jsonData.minStep is a list"),
    ] {
        let settings = with(&json!({"minStep": wrong}), &[]).unwrap();
        let error = settings.min_step.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!((error.kind(), error.key()), (ErrorKind::Settings, Some("jsonData.minStep")));
    }
}

#[test]
fn values_of_wrong_types_are_refused_by_key() {
    let seconds = "a number of seconds from 0 to 10^9";
    let whole = "a whole number, 0 or above";
    for (key, wrong, expected) in [
        ("backendType", json!(5), "the number 5, and has to be a text"),
        ("backendType", json!({"a": 1}), "an object, and has to be a text"),
        (
            "timeout",
            json!("30"),
            "the text \"30\", and has to be a number of seconds from 0 to 10^9",
        ),
        ("timeout", json!(-1), &format!("the number -1, and has to be {seconds}")),
        ("timeout", json!(1e300), &format!("the number 1e+300, and has to be {seconds}")),
        ("dialTimeout", json!(true), &format!("true, and has to be {seconds}")),
        ("httpKeepAlive", json!("x"), &format!("the text \"x\", and has to be {seconds}")),
        ("httpTLSHandshakeTimeout", json!([]), &format!("a list, and has to be {seconds}")),
        (
            "httpExpectContinueTimeout",
            json!(""),
            &format!("the text \"\", and has to be {seconds}"),
        ),
        ("httpIdleConnTimeout", json!({}), &format!("an object, and has to be {seconds}")),
        ("httpMaxConnsPerHost", json!(1.5), &format!("the number 1.5, and has to be {whole}")),
        ("httpMaxIdleConns", json!(-1), &format!("the number -1, and has to be {whole}")),
        ("httpMaxIdleConnsPerHost", json!("9"), &format!("the text \"9\", and has to be {whole}")),
        ("tlsAuth", json!("true"), "the text \"true\", and has to be true or false"),
        ("tlsAuthWithCACert", json!(1), "the number 1, and has to be true or false"),
        ("tlsSkipVerify", json!("yes"), "the text \"yes\", and has to be true or false"),
        ("enableSecureSocksProxy", json!("no"), "the text \"no\", and has to be true or false"),
        ("sigV4Auth", json!(0), "the number 0, and has to be true or false"),
        ("oauthPassThru", json!([]), "a list, and has to be true or false"),
        ("serverName", json!(false), "false, and has to be a text"),
        ("keepCookies", json!("a"), "the text \"a\", and has to be a list of texts"),
        ("keepCookies", json!(["a", 1]), "a list, and has to be a list of texts"),
        ("httpHeaderName1", json!(1), "the number 1, and has to be a text"),
    ] {
        let error = refused(&json!({ key: wrong }), &[]);
        assert_eq!(error.to_string(), format!("jsonData.{key} is {expected}"));
        assert_eq!(error.key(), Some(format!("jsonData.{key}").as_str()));
    }
    for (json_data, expected) in [
        (json!([]), "jsonData is a list, not an object"),
        (json!("x"), "jsonData is the text \"x\", not an object"),
        (json!(5), "jsonData is the number 5, not an object"),
    ] {
        assert_eq!(refused(&json_data, &[]).to_string(), expected);
    }
    let instance = InstanceSettings {
        url: "http://h".to_owned(),
        json_data: b"{\"minStep\": ".to_vec(),
        ..InstanceSettings::default()
    };
    let error = Settings::read(&instance, Allow::Servers).unwrap_err();
    assert!(error.to_string().starts_with("jsonData is no JSON: "), "{error}");
    // A long text is not quoted whole.
    let error = refused(&json!({"backendType": "x".repeat(1_000_000)}), &[]);
    assert!(error.to_string().len() < 400);
}

#[test]
fn times_and_connections() {
    let settings = with(
        &json!({
            "timeout": 1, "dialTimeout": 2.5, "httpTLSHandshakeTimeout": 0, "httpKeepAlive": 4,
            "httpIdleConnTimeout": 5, "httpExpectContinueTimeout": 6, "httpMaxConnsPerHost": 7,
            "httpMaxIdleConns": 8.0,
        }),
        &[],
    );
    let http = settings.unwrap().http;
    let times = http.timeouts;
    assert_eq!(times.request, Duration::from_secs(1));
    assert_eq!(times.connect, Duration::from_millis(2500));
    assert_eq!(times.tls_handshake, Duration::ZERO);
    assert_eq!((times.keep_alive.as_secs(), times.idle.as_secs()), (4, 5));
    assert_eq!((http.max_concurrent, times.max_idle), (7, 8));
    for (of_all, of_host, expected) in [
        (json!(50), json!(20), 20),
        (json!(20), json!(50), 20),
        (json!(0), json!(50), 50),
        (json!(50), json!(0), 2),
        (json!(null), json!(30), 30),
        (json!(0), json!(null), 100),
    ] {
        let json_data = json!({"httpMaxIdleConns": of_all, "httpMaxIdleConnsPerHost": of_host});
        assert_eq!(with(&json_data, &[]).unwrap().http.timeouts.max_idle, expected);
    }
    assert_eq!(with(&json!({"httpMaxConnsPerHost": 0}), &[]).unwrap().http.max_concurrent, 0);
}

#[test]
fn who_asks() {
    let read = |enabled: bool, auth_user: &str, user: &str, secrets: &[(&str, &str)]| {
        let mut instance = InstanceSettings {
            url: "http://h".to_owned(),
            basic_auth_enabled: enabled,
            basic_auth_user: auth_user.to_owned(),
            user: user.to_owned(),
            ..InstanceSettings::default()
        };
        for (key, value) in secrets {
            instance.decrypted_secure_json_data.insert((*key).to_owned(), Secret::new(*value));
        }
        Settings::read(&instance, Allow::Servers)
    };
    let both = [("basicAuthPassword", "first"), ("password", "second")];
    let pair = |settings: Settings| {
        settings.http.basic_auth.map(|(user, word)| (user, word.reveal().to_owned()))
    };
    let some = |user: &str, word: &str| Some((user.to_owned(), word.to_owned()));
    assert_eq!(pair(read(true, "a", "b", &both).unwrap()), some("a", "first"));
    assert_eq!(pair(read(false, "a", "b", &both).unwrap()), some("b", "second"));
    assert_eq!(pair(read(false, "a", "", &both).unwrap()), None);
    assert_eq!(pair(read(true, "a", "", &[("basicAuthPassword", "")]).unwrap()), some("a", ""));
    let error = read(true, "a", "b", &both[1..]).unwrap_err();
    let expected = "secureJsonData.basicAuthPassword is missing, and basicAuth is set";
    assert_eq!(error.to_string(), expected);
    let error = read(false, "a", "b", &both[..1]).unwrap_err();
    assert_eq!(error.to_string(), "secureJsonData.password is missing, and user is set");
}

#[test]
fn headers_are_counted_from_one() {
    let json_data = json!({
        "httpHeaderName1": "X-Scope-OrgID", "httpHeaderName2": "X-None", "httpHeaderName3": "X-Three",
        "httpHeaderName5": "X-Five",
    });
    let secrets = [
        ("httpHeaderValue1", "team-a"),
        ("httpHeaderValue3", "three"),
        ("httpHeaderValue4", "four"),
        ("httpHeaderValue5", "five"),
    ];
    let settings = with(&json_data, &secrets).unwrap();
    let headers: Vec<(&str, &str)> =
        settings.http.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("X-Scope-OrgID", "team-a"), ("X-Three", "three")]);
    let notices: Vec<String> = settings.notices.iter().map(ToString::to_string).collect();
    let expected = "jsonData.httpHeaderName2: is \"X-None\", and secureJsonData.httpHeaderValue2 is missing: it is not sent";
    assert_eq!(notices, [expected]);
}

#[test]
fn certificates_count_where_they_are_switched_on() {
    let secrets = [("tlsCACert", "ca"), ("tlsClientCert", "cert"), ("tlsClientKey", "key")];
    let tls = |json_data: Value| with(&json_data, &secrets).unwrap().http.tls;
    let client = |tls: &flamesql_backend::TlsOptions| {
        tls.client_certificate.as_ref().map(|(cert, key)| format!("{cert} {}", key.reveal()))
    };
    let off = tls(json!({"tlsSkipVerify": true, "serverName": "x"}));
    assert!(off.skip_verify && off.ca_certificate.is_none() && off.server_name.is_none());
    assert_eq!(client(&off), None);
    for switch in ["tlsAuth", "tlsAuthWithCACert"] {
        let on = tls(json!({switch: true, "serverName": "x"}));
        assert!(!on.skip_verify);
        assert_eq!(on.ca_certificate.as_deref(), Some("ca"));
        assert_eq!(
            (client(&on).as_deref(), on.server_name.as_deref()),
            (Some("cert key"), Some("x"))
        );
    }
    let notices = with(&json!({"serverName": "x"}), &[]).unwrap().notices;
    assert!(notices[0].to_string().starts_with("jsonData.serverName: counts only with"));
    // A server's own certificate alone is enough, and half a pair is not.
    let settings = with(&json!({"tlsAuthWithCACert": true}), &secrets[..1]).unwrap();
    assert!(settings.http.tls.client_certificate.is_none());
    for (switch, secrets, missing, of) in [
        ("tlsAuthWithCACert", &secrets[1..], "tlsCACert", "tlsAuthWithCACert"),
        ("tlsAuth", &secrets[..1], "tlsClientCert", "tlsAuth"),
        ("tlsAuth", &secrets[..2], "tlsClientKey", "tlsClientCert"),
        ("tlsAuth", &secrets[2..], "tlsClientCert", "tlsClientKey"),
    ] {
        let error = refused(&json!({switch: true}), secrets);
        let expected = format!("secureJsonData.{missing} is missing, and {of} is set");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_is_not_known_here_is_said() {
    let json_data = json!({
        "enableSecureSocksProxy": true, "sigV4Auth": true, "oauthPassThru": true,
        "keepCookies": ["session"], "pdcInjected": 1, "anything": {"else": []},
    });
    let settings = with(&json_data, &[]).unwrap();
    let subjects: Vec<&str> = settings.notices.iter().map(|n| n.subject.as_str()).collect();
    assert_eq!(subjects, ["jsonData.enableSecureSocksProxy", "jsonData.sigV4Auth"]);
    assert_eq!(settings.keep_cookies, ["session"]);
    assert!(settings.forwards_identity);
}

#[test]
fn origins() {
    let read = |url: &str, kind: Option<&str>, allow| {
        let instance = InstanceSettings {
            url: url.to_owned(),
            json_data: json!({"backendType": kind}).to_string().into_bytes(),
            ..InstanceSettings::default()
        };
        Settings::read(&instance, allow).map(|settings| settings.origin)
    };
    for (url, shown) in [
        ("http://localhost:4100", "http://localhost:4100"),
        (" https://Host:443/pyroscope/ ", "https://host/pyroscope"),
        ("https://me:hidden@host:1/", "https://host:1"),
    ] {
        let Origin::Server(found) = read(url, None, Allow::Servers).unwrap() else { panic!() };
        assert_eq!((found.to_string().as_str(), found.reveal()), (shown, url.trim()));
        assert!(!format!("{found:?}").contains("hidden"));
    }
    for (url, kind, path) in [
        ("file:///var/profiles", None, "/var/profiles"),
        ("FILE:///var/a%20b%2525", Some("files"), "/var/a b%25"),
        ("file://localhost/x/", None, "/x/"),
        ("file:///100%", None, "/100%"),
    ] {
        let found = read(url, kind, Allow::Files).unwrap();
        assert_eq!(found, Origin::Files(path.into()), "{url}");
        let error = read(url, kind, Allow::Servers).unwrap_err();
        assert!(error.to_string().contains("only a provisioning file"), "{error}");
    }
    for (url, kind, part) in [
        ("", None, "url is missing"),
        ("localhost:4040", None, "\"localhost:4040\""),
        ("ftp://host", None, "neither with http://"),
        ("https://me:hidden@host/?a=hidden", None, "url is no address of a server"),
        ("file://var/profiles", None, "\"file://var/profiles\" names no path"),
        ("file:profiles", None, "names no path"),
        ("file:///a%00b", None, "has a zero"),
        ("file:///a%ffb", None, "not UTF-8"),
        ("file:///var", Some("phlare"), "leads to files, and jsonData.backendType is \"phlare\""),
        ("http://host", Some("files"), "leads to no file"),
        ("", Some("files"), "leads to no file"),
    ] {
        let error = read(url, kind, Allow::Files).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(part) && !text.contains("hidden"), "{url}: {text}");
        assert_eq!((error.key(), error.kind()), (Some("url"), ErrorKind::Settings));
    }
}

#[test]
fn no_secret_is_shown() {
    let json = json!({
        "url": "http://me:hidden0@h", "basicAuthEnabled": true, "basicAuthUser": "me",
        "jsonData": {
            "httpHeaderName1": "X", "tlsAuth": true, "password": "hidden1", "serverName": "s",
        },
        "decryptedSecureJsonData": {
            "basicAuthPassword": "hidden2", "httpHeaderValue1": "hidden3", "tlsClientCert": "c",
            "tlsClientKey": "hidden4",
        },
    });
    let instance: InstanceSettings = serde_json::from_value(json).unwrap();
    let settings = Settings::read(&instance, Allow::Servers).unwrap();
    let shown = format!("{instance:?} {settings:?} {:?}", settings.options());
    assert!(!shown.contains("hidden"), "{shown}");
    assert!(shown.contains("httpHeaderValue1"), "{shown}");
}
