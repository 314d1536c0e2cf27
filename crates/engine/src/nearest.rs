//! What was probably meant.

/// The name that differs least from what was typed, if it does not differ too much.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let distances = names
        .into_iter()
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
    }
}
