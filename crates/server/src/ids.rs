//! Ids of profiles, which are UUIDs here, whatever a source calls its profiles.

use std::{borrow::Cow, collections::BTreeSet};

use flamesql_backend::{Only, Select, is_uuid};

use crate::{Served, fault::Fault, served::report};

/// How a profile is called here: an id that is a UUID stays one, of any other one is made, always the same.
pub(crate) fn shown(id: &str) -> Cow<'_, str> {
    if is_uuid(id) { Cow::Borrowed(id) } else { Cow::Owned(uuid_of(id)) }
}

/// The ids by which the source knows profiles that were chosen by what they are called here.
pub(crate) async fn resolved(served: &Served, select: &mut Select) -> Result<(), Fault> {
    let Only::Profiles(asked) = &select.only else { return Ok(()) };
    if let Some(bad) = asked.iter().find(|id| !is_uuid(id)) {
        return Err(Fault::invalid(format!("invalid profile id: {bad:?} is no UUID")));
    }
    let asked: BTreeSet<String> = asked.iter().map(|id| id.to_ascii_lowercase()).collect();
    if !served.backend().capabilities().is_finite {
        // A server calls them as we do.
        select.only = Only::Profiles(asked.into_iter().collect());
        return Ok(());
    }
    let all = Select { only: Only::All, ..select.clone() };
    let profiles = served.backend().profiles(&all, &report()).await?;
    let ids = profiles.into_iter().map(|profile| profile.id);
    select.only = Only::Profiles(ids.filter(|id| asked.contains(&*shown(id))).collect());
    Ok(())
}

/// A UUID of version 8, whose bits are whoever makes it to fill: here with a hash of the id, FNV-1a of 128 bits.
fn uuid_of(id: &str) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in id.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let hash = hash & !(0xf << 76) | 0x8 << 76;
    let hash = hash & !(0x3 << 62) | 0x2 << 62;
    let digits = format!("{hash:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| &digits[from..to]).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids() {
        let id = "c442d838-5285-4d13-94e2-11ceebfd2187";
        assert_eq!(shown(id), id);
        let ids: BTreeSet<String> =
            ["", "0", "1", "a/b.pb.gz", "a/c.pb.gz"].map(|id| shown(id).into_owned()).into();
        assert_eq!(ids.len(), 5);
        for id in &ids {
            assert!(is_uuid(id), "{id}");
            assert_eq!(&id[14..15], "8", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
