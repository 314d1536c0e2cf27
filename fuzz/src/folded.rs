//! The target of folded text.

use flamesql_profile::folded;

use crate::{check_error, tree};

/// The tree has the sum of the numbers at the ends of the lines, and what is written reads back as the same tree.
///
/// # Panics
///
/// If one of these does not hold.
pub fn folded(data: &[u8]) {
    let folded = match folded::decode(data) {
        Ok(folded) => folded,
        Err(error) => return check_error(&error, data),
    };
    if let Ok(text) = std::str::from_utf8(data) {
        let numbers = text
            .split('\n')
            .filter_map(|line| line.split([' ', '\t']).rfind(|word| !word.trim().is_empty()));
        let sum: i128 = numbers.map(|n| n.trim().parse::<i128>().expect("the line was read")).sum();
        assert_eq!(tree::sum(folded.tree()), sum);
        assert_eq!(folded.replaced_texts(), 0);
    }
    tree::check(folded.tree());

    let mut text = Vec::new();
    if folded::encode(folded.tree(), &mut text).is_err() {
        return;
    }
    let again = folded::decode(&text).expect("what was written can be read").into_tree();
    // A carriage return inside a line is read as part of a name and written as a blank.
    if !data.contains(&b'\r') {
        assert_eq!(&again, folded.tree());
    }
    let mut text = Vec::new();
    if folded::encode(&again, &mut text).is_err() {
        // Sums are taken in the order of the nodes, and some orders go beyond 64 bits on the way to a sum that does not.
        assert!(again.stacks().any(|(_, value)| value < 0), "the same sums as before");
        return;
    }
    assert_eq!(folded::decode(&text).expect("as before").into_tree(), again);
}
