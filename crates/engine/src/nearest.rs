//! What was probably meant.

/// What is longer was not mistyped, and comparing takes the square of it.
const MAX_LEN: usize = 200;

/// The name that differs least from what was typed, if it does not differ too much.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if typed.len() > MAX_LEN {
        return None;
    }
    let typed = typed.to_lowercase();
    let distances = names
        .into_iter()
        .filter(|name| name.len() <= MAX_LEN)
        .map(|name| (strsim::damerau_levenshtein(&typed, &name.to_lowercase()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (typed.chars().count() / 3).max(1)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn small_slips_are_seen_through() {
        let names = ["functions", "samples", "series"];
        assert_eq!(nearest("fucntions", names), Some("functions"));
        assert_eq!(nearest("Serie", names), Some("series"));
        assert_eq!(nearest("profiles", names), None);
        assert_eq!(nearest("x", []), None);
        let long = "x".repeat(300);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
