//! Limits to what a statement may be, before anything looks at it that goes as deep as it does.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    keywords::Keyword,
    tokenizer::{Token, Tokenizer},
};

use crate::{Error, ErrorKind};

/// How long a statement may be.
const MAX_BYTES: usize = 1 << 20;
/// How many operators may follow each other between two commas or parentheses: each is a level of the tree that it is
/// parsed to, and of the stack on which that is evaluated. Nested parentheses the parser limits by itself.
const MAX_CHAIN: usize = 400;

/// How many SELECTs a statement may have: one that is named in WITH stands for all that it stands on.
const MAX_SELECTS: usize = 150;

/// Refuses statements that no planner could take.
pub(crate) fn check(sql: &str) -> Result<(), Error> {
    if sql.len() > MAX_BYTES {
        let what =
            format!("the statement has {} bytes, more than the limit of {MAX_BYTES}", sql.len());
        return Err(Error::new(ErrorKind::Syntax, what)
            .with_hint("ask for less at once, or by a condition such as a regex (~)"));
    }
    // What is no token is the parser's to say.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    // For each open parenthesis how many links there were: those of the last condition, and those between conditions.
    let mut open: Vec<(usize, usize)> = vec![(0, 0)];
    let mut n_selects = 0;
    for token in tokens {
        let chain = match &token {
            Token::LParen | Token::LBracket => {
                // A subscript is a level deeper as well.
                let (inside, _) = open.last_mut().expect("one is always open");
                *inside += usize::from(token == Token::LBracket);
                let is_too_long = *inside > MAX_CHAIN;
                open.push((0, 0));
                if is_too_long {
                    return Err(too_long());
                }
                continue;
            }
            Token::RParen | Token::RBracket => {
                open.pop();
                if open.is_empty() {
                    open.push((0, 0));
                }
                continue;
            }
            Token::Comma | Token::SemiColon => {
                *open.last_mut().expect("one is always open") = (0, 0);
                continue;
            }
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period => continue,
            Token::Word(word) if word.keyword == Keyword::SELECT => {
                n_selects += 1;
                if n_selects > MAX_SELECTS {
                    let what = format!("the statement has more than {MAX_SELECTS} SELECTs");
                    return Err(Error::new(ErrorKind::Syntax, what));
                }
                continue;
            }
            Token::Word(word)
                if matches!(word.keyword, Keyword::WHEN | Keyword::THEN | Keyword::ELSE) =>
            {
                open.last_mut().expect("one is always open").0 = 0;
                continue;
            }
            Token::Word(word) if matches!(word.keyword, Keyword::AND | Keyword::OR) => {
                let (inside, between) = open.last_mut().expect("one is always open");
                *inside = 0;
                between
            }
            Token::Word(word) if !is_link(word.keyword) => continue,
            _ => &mut open.last_mut().expect("one is always open").0,
        };
        *chain += 1;
        if *chain > MAX_CHAIN {
            return Err(too_long());
        }
    }
    Ok(())
}

fn too_long() -> Error {
    let what =
        format!("the statement has an expression of more than {MAX_CHAIN} operators in a row");
    Error::new(ErrorKind::Syntax, what).with_hint("write IN (...) for many values, or a regex (~)")
}

/// Whether a word makes the tree one level deeper.
fn is_link(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::NOT
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::BETWEEN
            | Keyword::IN
            | Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::JOIN
            | Keyword::COLLATE
            | Keyword::AT
    )
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn chains_are_limited_and_lists_are_not() {
        let list = vec!["'x'"; 50_000].join(", ");
        assert!(check(&format!("SELECT 1 WHERE a IN ({list}) AND b = 1")).is_ok());
        let chain = |n: usize, link: &str| format!("SELECT {}", vec!["1"; n].join(link));
        assert!(check(&chain(300, " OR ")).is_ok());
        assert!(
            check(&format!("SELECT ({}), {}", &chain(300, "+")[7..], &chain(300, "+")[7..]))
                .is_ok()
        );
        let deep = format!("SELECT a{}", "[1]".repeat(5000));
        assert!(check(&deep).unwrap_err().to_string().contains("in a row"));
        assert!(
            check(&chain(200, " UNION ALL SELECT ")).unwrap_err().to_string().contains("SELECTs")
        );
        for link in [" OR ", "+", " = ", "::int::", " IS NULL AND "] {
            let error = check(&chain(5000, link)).unwrap_err();
            assert!(error.to_string().contains("in a row"), "{link}: {error}");
        }
        assert!(check(&"x".repeat(2 << 20)).unwrap_err().to_string().contains("bytes"));
    }
}
