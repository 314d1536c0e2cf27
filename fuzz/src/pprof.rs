//! The target of the pprof codec.

use flamesql_profile::{ErrorKind, pprof};

use crate::{check_error, tree};

/// What decodes comes back from `encode` as it was, plain and gzip, and the tree of each sample type has the sum of its
/// samples.
///
/// # Panics
///
/// If one of these does not hold.
pub fn pprof(data: &[u8]) {
    let profile = match pprof::decode(data) {
        Ok(profile) => profile,
        Err(error) => return check_error(&error, data),
    };
    let plain = pprof::encode(&profile);
    let again = pprof::decode(&plain).expect("what was written can be read");
    assert_eq!(again, profile);
    assert_eq!(pprof::encode(&again), plain, "writing is stable");
    assert_eq!(again.replaced_texts(), 0, "what was written is UTF-8");
    assert_eq!(pprof::decode(&pprof::encode_gzip(&profile)).expect("as plain"), profile);

    assert!(profile.default_sample_index().is_none_or(|idx| idx < profile.sample_types.len()));
    // Many sample types are many times the same.
    for sample_type in 0..profile.sample_types.len().min(8) {
        let sum: i128 = (0..profile.n_samples())
            .map(|sample| i128::from(profile.sample_values(sample)[sample_type]))
            .sum();
        match profile.tree(sample_type) {
            Ok(tree) => {
                assert_eq!(tree::sum(&tree), sum);
                tree::check(&tree);
            }
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Overflow | ErrorKind::TooLarge),
                    "{error}"
                );
            }
        }
    }
}
