//! From `proto/` to the Rust code in `crates/proto/src`: checked in, so that nobody needs a generator to build.
//!
//! The compiler for .proto files is a Rust library: no protoc has to be on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use prost::Message as _;

/// The packages; their files are all that lie in the folder of the name.
const PACKAGES: &[&str] =
    &["capabilities.v1", "google.v1", "push.v1", "querier.v1", "types.v1", "version.v1"];

const TARGET: &str = "crates/proto/src";

/// Writes the code, or with `is_check` tells where what is there differs. Whether all is in order.
pub(crate) fn run(root: &Path, is_check: bool) -> anyhow::Result<bool> {
    let made = generate(root)?;
    let mut is_ok = true;
    for (path, text) in made {
        let path = root.join(TARGET).join(path);
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if is_check {
            println!("{shown} is not what proto/ says; run `cargo xtask codegen`");
            is_ok = false;
        } else {
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(&path, text).with_context(|| format!("writing {shown}"))?;
            println!("wrote {shown}");
        }
    }
    Ok(is_ok)
}

/// The files below the target folder, with their text.
fn generate(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let proto = root.join("proto");
    let mut files = Vec::new();
    for package in PACKAGES {
        let folder = proto.join(package.replace('.', "/"));
        for entry in
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
        {
            files.push(entry?.path());
        }
    }
    files.sort();
    let descriptors = protox::compile(&files, [&proto]).context("compiling proto/")?;

    let out = tempfile::tempdir()?;
    prost_build::Config::new()
        .out_dir(out.path())
        .bytes(["."])
        .enable_type_names()
        .compile_fds(descriptors.clone())
        .context("generating messages")?;
    let bytes = descriptors.encode_to_vec();
    let mut made = Vec::new();
    for package in PACKAGES {
        let mut json = pbjson_build::Builder::new();
        json.register_descriptors(&bytes)?
            .out_dir(out.path())
            .ignore_unknown_fields()
            .ignore_unknown_enum_variants();
        // The code lies one module deeper than the messages, so other packages are named in full.
        for other in PACKAGES.iter().filter(|other| *other != package) {
            json.extern_path(format!(".{other}"), format!("crate::{}", other.replace('.', "::")));
        }
        json.build(&[format!(".{package}")]).context("generating JSON")?;

        let name = package.replace('.', "/");
        let messages = fs::read_to_string(out.path().join(format!("{package}.rs")))?;
        let header = format!(
            "//! The messages of `{package}`: generated from `proto/` by `cargo xtask codegen`.\n\n\
             {json}\nmod json;\n\n",
            json = "#[cfg(feature = \"json\")]"
        );
        made.push((format!("{name}.rs"), header + &messages));
        let json = fs::read_to_string(out.path().join(format!("{package}.serde.rs")))?;
        let header = format!(
            "//! `{package}` as JSON: generated from `proto/` by `cargo xtask codegen`.\n\nuse super::*;\n\n"
        );
        made.push((format!("{name}/json.rs"), header + &json));
    }
    made.into_iter().map(|(path, text)| Ok((path.into(), formatted(root, &text)?))).collect()
}

/// As `cargo fmt` leaves it, which looks at generated files too.
fn formatted(root: &Path, text: &str) -> anyhow::Result<String> {
    let file = tempfile::Builder::new().suffix(".rs").tempfile()?;
    // rustfmt leaves blanks at the ends of lines that it finds too long, and then complains of them.
    let text: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    fs::write(file.path(), text.replace("mod json;", "mod json {}"))?;
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .arg(file.path())
        .status()
        .context("starting rustfmt")?;
    anyhow::ensure!(status.success(), "rustfmt does not take what was generated");
    Ok(fs::read_to_string(file.path())?.replace("mod json {}", "mod json;"))
}
