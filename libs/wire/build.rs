//! Compiles the contracts with protox (no protoc needed) into Rust and one descriptor set.

use std::{env, fmt::Write as _, fs, path::PathBuf};

/// Messages that hold persons, addresses, free text or signed bytes themselves. Their `Debug` shows the name only, so
/// that no log, span or error can show more by accident.
const HIDDEN: &[&str] = &[
    "connector.v1.EventReceived",
    "connector.v1.ReceiptReceived",
    "exchange.v1.Decision",
    "exchange.v1.Envelope",
    "exchange.v1.Officer",
    "exchange.v1.Order",
    "exchange.v1.SignedEvent",
    "exchange.v1.SignedOrder",
    "exchange.v1.SignedReceipt",
    "exchange.v1.SuspiciousActivity",
    "exchange.v1.Target",
    "intake.v1.GetLabelsRequest",
    "intake.v1.LabelPackBegun",
    "intake.v1.ReadRecorded",
    "intake.v1.RequestContent",
    "intake.v1.RequestDecided",
    "log.v1.Entry",
    "log.v1.Header",
    "log.v1.LeafOpening",
    "operations.v1.DrainAsked",
    "operations.v1.RetryAsked",
    "tracking.v1.GetLabelsRequest",
    "tracking.v1.Hop",
    "tracking.v1.KnownLabel",
    "tracking.v1.KnownPack",
    "tracking.v1.Label",
    "tracking.v1.TraceEdge",
    "tracking.v1.TraceNode",
    "tracking.v1.TraceQuery",
    "tracking.v1.TraceWatch",
    "tracking.v1.TrailEnded",
    "tracking.v1.TrailPlace",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files)?;
    // The encoded set keeps the `callers` option, which the typed one would drop.
    let out = PathBuf::from(env::var("OUT_DIR")?).join("haetae.bin");
    fs::write(&out, compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .skip_debug(HIDDEN.iter().map(|message| format!(".haetae.{message}")))
        .compile_fds(compiler.file_descriptor_set())?;

    let mut hidden = String::new();
    for message in HIDDEN {
        let (package, name) = message.rsplit_once('.').ok_or("a message has a package")?;
        let path = package.replace('.', "::");
        writeln!(
            hidden,
            "impl ::core::fmt::Debug for haetae::{path}::{name} {{
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{ f.write_str(\"{name}(…)\") }}
            }}"
        )?;
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("hidden.rs"), hidden)?;
    Ok(())
}

fn collect(folder: &PathBuf, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
