//! The source for those who have none at hand: the profiles in `demo/`, carried inside the program.

use flamesql_backend::{Error, Memory};
use flamesql_profile::{ProfileType, Timestamp};

/// What a file without a time of its own is taken to be of: 2026-11-10T09:00:50Z, within the others.
const MODIFIED: Timestamp = Timestamp::from_nanos(1_794_301_250_000_000_000);

macro_rules! files {
    ($($path:literal,)*) => {
        &[$(($path, include_bytes!(concat!("../demo/", $path)))),*]
    };
}

/// Path and bytes of each file.
const FILES: &[(&str, &[u8])] = files![
    "service_name=catalog/region=eu/pod=catalog-0/version=3.2.1/000-cpu.pb.gz",
    "service_name=catalog/region=eu/pod=catalog-0/version=3.2.1/000-heap.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.4.0/000-cpu.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.4.0/001-cpu.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.4.0/001-heap.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.4.0/001-mutex.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.5.0/002-cpu.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.5.0/003-block.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.5.0/003-cpu.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.5.0/003-goroutine.pb.gz",
    "service_name=checkout/region=eu/pod=checkout-0/version=1.5.0/003-heap.pb.gz",
    "service_name=checkout/region=us/pod=checkout-1/version=1.4.0/000-cpu.pb.gz",
    "service_name=checkout/region=us/pod=checkout-1/version=1.4.0/001-cpu.pb.gz",
    "service_name=checkout/region=us/pod=checkout-1/version=1.5.0/002-cpu.pb.gz",
    "service_name=reports/region=us/pod=reports-0/version=0.9.0/000-cpu.pb.gz",
    "service_name=reports/region=us/pod=reports-0/version=0.9.0/001-cpu.folded",
];

/// The demo, decoded. Where no type is named it is CPU time, so that a first question needs no more than a table.
pub(crate) fn open() -> Result<Memory, Error> {
    // CPU time is what most of them are about, and what the first question is about.
    let cpu = ProfileType::from_parts("process_cpu", "cpu", "nanoseconds", "cpu", "nanoseconds");
    let memory = Memory::new().with_default_profile_type(cpu);
    for (path, bytes) in FILES {
        memory.insert_file(path, bytes, MODIFIED)?;
    }
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    #[test]
    fn the_list_has_all_files_of_the_folder() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        let labelled = |path: &PathBuf| path.to_string_lossy().contains("demo/service_name=");
        let below = |path: &Path| fs::read_dir(path).unwrap().map(|e| e.unwrap().path());
        let mut folders: Vec<PathBuf> = below(&root).filter(labelled).collect();
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in below(&folder) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    found.push(name.replace('\\', "/"));
                }
            }
        }
        found.sort();
        assert_eq!(FILES.iter().map(|(path, _)| *path).collect::<Vec<_>>(), found);
    }

    #[test]
    fn every_file_is_a_profile() {
        open().unwrap();
    }
}
