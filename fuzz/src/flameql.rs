//! The target of the legacy server's queries.

use flamesql_selector::{ErrorKind, Filter, Matcher, flameql};

/// What parses and can be written is read again as the same conditions, and once it was written here it stays as it is;
/// an error names a place in the text.
///
/// # Panics
///
/// If one of these does not hold.
pub fn flameql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (app, selector) = match flameql::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::NotInFlameQl, "{error}");
            return crate::selector::check_error(&error, text);
        }
    };
    assert!(text.trim_start().starts_with(&app) && !app.is_empty());
    let printed = match flameql::print(&app, &selector) {
        Ok(printed) => printed,
        Err(error) => {
            let kinds = [ErrorKind::NotInFlameQl, ErrorKind::RegexTooLarge];
            return assert!(kinds.contains(&error.kind()), "{error}");
        }
    };
    let (app_again, again) = match flameql::parse(&printed) {
        Ok(parsed) => parsed,
        // What is written is a little larger.
        Err(error) if error.kind() == ErrorKind::RegexTooLarge => return,
        Err(error) => panic!("what was written can be read: {error}"),
    };
    assert_eq!(app_again, app);
    if let (Ok(filter), Ok(filter_again)) = (Filter::new(&selector), Filter::new(&again)) {
        let values = selector.matchers.iter().map(|Matcher { value, .. }| value.as_str());
        for value in values.chain(["", "a", "\n", "aa"]) {
            assert_eq!(
                filter.matches(|_| Some(value)),
                filter_again.matches(|_| Some(value)),
                "{printed} of {value:?}"
            );
        }
    }
    if let Ok(once_more) = flameql::print(&app, &again) {
        let (_, third) = flameql::parse(&once_more).expect("as before");
        assert_eq!(flameql::print(&app, &third).as_ref(), Ok(&once_more));
    }
}
