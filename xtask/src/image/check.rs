//! The runtime stage, built for real without a registry: Debian's `buildah` on a base that `debootstrap` makes, around the
//! programs that are here. What is not built here is the stage that compiles.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use haetae_testkit::{
    binaries,
    parts::{Found, Install, Part, ensure},
};
use serde_json::Value;

use super::{Build, root, runtime};
use crate::{demo::PROGRAMS, process::run, report::Report};

const BASE: &str = "localhost/haetae-base";
const IMAGE: &str = "localhost/haetae:check";

/// The image's user: nobody's number.
pub(super) const USER: &str = "65532";

/// Builds, looks at what came of it, starts a service from it, and says what was seen.
pub(super) fn check(json: bool, install: Install) -> Result<()> {
    let mut report = Report::default();
    report.not_checked("the stage that compiles (its base comes from a registry)");
    match impediment()? {
        Some(impediment) => report.not_checked(format!("the runtime stage ({impediment})")),
        None => checked(install, &mut report)?,
    }
    for failure in report.failures() {
        eprintln!("FAILED {failure}");
    }
    if json {
        eprintln!("{}", report.summary("image"));
        println!("{}", report.json());
    } else {
        println!("{}", report.summary("image"));
    }
    if !report.passed() {
        bail!("{} findings", report.failures().len());
    }
    Ok(())
}

/// What keeps this machine from building; none where it can.
fn impediment() -> Result<Option<&'static str>> {
    if !Path::new("/etc/debian_version").exists() {
        return Ok(Some("buildah and debootstrap are Debian's"));
    }
    if run(Command::new("id").arg("-u"))?.stdout.trim() != "0" {
        return Ok(Some("debootstrap needs root"));
    }
    let unshare = run(Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]));
    Ok((!unshare.is_ok_and(|ended| ended.ok)).then_some("no namespaces may be made here"))
}

fn checked(install: Install, report: &mut Report) -> Result<()> {
    let root = root()?;
    let parts = ensure(&[Part::Buildah, Part::Debootstrap, Part::Postgres], install)?;
    let programs = binaries::built(&PROGRAMS)?;
    let dockerfile = fs::read_to_string(root.join("Dockerfile"))?;
    toolchains_agree(&root, &dockerfile, report)?;

    let suite = argument(&dockerfile, "BASE").and_then(|base| base.strip_prefix("debian:")?.strip_suffix("-slim"));
    let suite = suite.context("the Dockerfile's BASE is not debian:SUITE-slim")?;
    let base = debian(&parts, suite, programs.as_path())?;
    let images = Images::new(&parts)?;
    eprintln!("== the base becomes an image");
    images.import(&base, BASE)?;
    eprintln!("== the runtime stage is built");
    let mut build = images.buildah();
    build.args(["build", "--isolation", "chroot", "--pull-never", "--tag", IMAGE]);
    build.arg(format!("--build-arg=BASE={BASE}"));
    let built = run(Build::of(&root, Some(&programs))?.complete(&mut build))?;
    if !built.ok {
        bail!("buildah: {:.2000}", built.said());
    }
    report.count("image built", 1);
    images.inspect(report)?;
    images.with_files(IMAGE, |files| {
        programs_in(files, report);
        eprintln!("== a service is started from it, read-only, as user {USER}");
        runtime::start(files, report)
    })
}

/// The Dockerfile builds with the toolchain that everything else is built with.
fn toolchains_agree(root: &Path, dockerfile: &str, report: &mut Report) -> Result<()> {
    let pinned: toml::Table = toml::from_str(&fs::read_to_string(root.join("rust-toolchain.toml"))?)?;
    let pinned = pinned["toolchain"]["channel"].as_str().unwrap_or_default();
    let rust = argument(dockerfile, "RUST").unwrap_or_default();
    let image = rust.strip_prefix("rust:").and_then(|tag| tag.split('-').next()).unwrap_or_default();
    let same = pinned == image || pinned.strip_prefix(image).is_some_and(|rest| rest.starts_with('.'));
    if image.is_empty() || !same {
        report.fail(format!("the Dockerfile compiles with {rust}, rust-toolchain.toml says {pinned}"));
    }
    Ok(())
}

/// The default of an `ARG`.
fn argument<'a>(dockerfile: &'a str, name: &str) -> Option<&'a str> {
    let begins = format!("ARG {name}=");
    dockerfile.lines().find_map(|line| line.strip_prefix(begins.as_str()))
}

/// A minimal Debian in a folder beside what was built, made once.
fn debian(parts: &Found, suite: &str, programs: &Path) -> Result<PathBuf> {
    let target = programs.parent().unwrap_or(programs);
    let folder = target.join("parts").join(format!("debian-{suite}"));
    let done = folder.with_extension("made");
    if done.exists() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    eprintln!("== debootstrap makes a minimal Debian {suite} in {}", folder.display());
    let mut debootstrap = Command::new(parts.path(Part::Debootstrap)?);
    let made = run(debootstrap.args(["--variant=minbase", suite]).arg(&folder))?;
    if !made.ok {
        bail!("debootstrap: {:.2000}", made.said());
    }
    fs::write(done, "")?;
    Ok(folder)
}

/// Images in a folder of their own, which goes with this value.
struct Images {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Images {
    fn new(parts: &Found) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("haetae-images-").tempdir()?;
        Ok(Self { program: parts.path(Part::Buildah)?.to_owned(), folder })
    }

    fn buildah(&self) -> Command {
        let mut buildah = Command::new(&self.program);
        buildah.args(["--storage-driver", "vfs", "--root"]).arg(self.folder.path().join("images"));
        buildah.arg("--runroot").arg(self.folder.path().join("run"));
        buildah
    }

    fn said(&self, arguments: &[&str]) -> Result<String> {
        let ended = run(self.buildah().args(arguments))?;
        if !ended.ok {
            bail!("buildah {}: {:.1000}", arguments.join(" "), ended.said());
        }
        Ok(ended.stdout.trim().to_owned())
    }

    /// Makes an image of a folder.
    fn import(&self, folder: &Path, name: &str) -> Result<()> {
        let container = self.said(&["from", "scratch"])?;
        let files = self.said(&["mount", &container])?;
        let copied = run(Command::new("cp").args(["--archive", "--no-target-directory"]).arg(folder).arg(&files))?;
        if !copied.ok {
            bail!("{:.1000}", copied.said());
        }
        self.said(&["umount", &container])?;
        self.said(&["commit", "--quiet", "--rm", &container, name])?;
        Ok(())
    }

    /// The image says who runs it, and what it is.
    fn inspect(&self, report: &mut Report) -> Result<()> {
        let inspected: Value = serde_json::from_str(&self.said(&["inspect", "--type", "image", IMAGE])?)?;
        let config = &inspected["OCIv1"]["config"];
        let user = config["User"].as_str().unwrap_or_default();
        if user != format!("{USER}:{USER}") {
            report.fail(format!("the image runs as {user:?}"));
        }
        for label in ["title", "description", "licenses", "version", "revision"] {
            let name = format!("org.opencontainers.image.{label}");
            if config["Labels"][&name].as_str().unwrap_or_default().is_empty() {
                report.fail(format!("the image has no label {name}"));
            }
            report.count("labels", 1);
        }
        if !config["Entrypoint"].is_null()
            || config["Cmd"].as_array().is_none_or(|command| command[0] != "/usr/local/bin/haetae")
        {
            report.fail("the image's command is not a program of its own, without a shell");
        }
        Ok(())
    }

    /// Hands out the image's files.
    fn with_files(&self, image: &str, look: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let container = self.said(&["from", "--pull-never", image])?;
        let files = self.said(&["mount", &container])?;
        let looked = look(Path::new(&files));
        self.said(&["umount", &container])?;
        looked
    }
}

/// Looks at the programs, which nobody but root may replace.
fn programs_in(files: &Path, report: &mut Report) {
    use std::os::unix::fs::MetadataExt;

    for program in PROGRAMS {
        let found = fs::metadata(files.join("usr/local/bin").join(program));
        match found {
            Ok(found) if found.uid() == 0 && found.mode() & 0o022 == 0 && found.mode() & 0o001 != 0 => {}
            Ok(found) => report.fail(format!("{program} is of user {} with mode {:o}", found.uid(), found.mode())),
            Err(error) => report.fail(format!("{program}: {error}")),
        }
        report.count("programs in it", 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolchain_of_the_image_is_the_workspaces() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("rust-toolchain.toml"), "[toolchain]\nchannel = \"1.95.0\"\n")?;
        for (rust, agrees) in [("1.95-slim-bookworm", true), ("1.95.0", true), ("1.9-slim", false), ("1.96", false)] {
            let mut report = Report::default();
            toolchains_agree(folder.path(), &format!("ARG BASE=x\nARG RUST=rust:{rust}\n"), &mut report)?;
            assert_eq!(report.passed(), agrees, "{rust}");
        }
        Ok(())
    }
}
