//! `cargo xtask image`: the image that holds every program, built by docker, podman or buildah.

mod check;
mod runtime;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use haetae_testkit::parts::Install;
use tempfile::TempDir;

use crate::{demo::PROGRAMS, process::run};

/// What is built, of what, and by whom.
#[derive(Args)]
pub(crate) struct Options {
    /// A folder with programs that were built already, on a Debian no newer than the image's. Without it they are built in the image.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Who builds; the first of these that is here.
    #[arg(long)]
    engine: Option<Engine>,
    /// The image's name.
    #[arg(long, default_value = "haetae:dev")]
    tag: String,
    /// The image it is built on, such as `debian@sha256:…`; the Dockerfile's where absent.
    #[arg(long)]
    base: Option<String>,
    /// Build the runtime stage for real around finished programs, start a service from it read-only and as nobody, and see
    /// it healthy. Needs no registry: the base is made by debootstrap.
    #[arg(long, conflicts_with_all = ["programs", "engine", "tag", "base"])]
    check: bool,
    /// End with one line of JSON on standard output.
    #[arg(long, requires = "check")]
    json: bool,
}

/// A builder of images.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Docker,
    Podman,
    Buildah,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    /// Docker's command line may be here without its daemon.
    fn is_here(self) -> bool {
        run(Command::new(self.name()).arg("info")).is_ok_and(|ended| ended.ok)
    }
}

/// Builds the image, or checks that it can be built and run.
pub(crate) fn build(options: Options, install: Install) -> Result<()> {
    if options.check {
        return check::check(options.json, install);
    }
    let engines = Engine::value_variants().iter().copied();
    let engine = options.engine.or_else(|| engines.into_iter().find(|engine| engine.is_here()));
    let Some(engine) = engine else { bail!("neither docker, podman nor buildah is here (or their daemon is not)") };
    let root = root()?;
    let mut command = Command::new(engine.name());
    command.arg("build").args(["--tag", &options.tag]);
    if let Some(base) = &options.base {
        command.args(["--build-arg", &format!("BASE={base}")]);
    }
    let build = Build::of(&root, options.programs.as_deref())?;
    let status = build.complete(&mut command).status().with_context(|| format!("cannot run {}", engine.name()))?;
    if !status.success() {
        bail!("{} could not build {}", engine.name(), options.tag);
    }
    println!("built: {}", options.tag);
    Ok(())
}

/// What a builder is told about the Dockerfile.
struct Build {
    arguments: Vec<String>,
    context: PathBuf,
    _staged: Option<TempDir>,
}

impl Build {
    /// From the sources, or around finished programs, which are copied and stripped first.
    fn of(root: &Path, programs: Option<&Path>) -> Result<Self> {
        let mut arguments = vec![
            "--file".to_owned(),
            root.join("Dockerfile").display().to_string(),
            format!("--build-arg=VERSION={}", env!("CARGO_PKG_VERSION")),
            format!("--build-arg=REVISION={}", revision(root)),
        ];
        let (context, staged) = match programs {
            Some(programs) => {
                arguments.push("--target=prebuilt".to_owned());
                let staged = stage(programs)?;
                (staged.path().to_owned(), Some(staged))
            }
            None => (root.to_owned(), None),
        };
        Ok(Self { arguments, context, _staged: staged })
    }

    fn complete<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(&self.arguments).arg(&self.context)
    }
}

/// A folder with stripped copies of the programs and nothing else.
fn stage(programs: &Path) -> Result<TempDir> {
    let staged = tempfile::Builder::new().prefix("haetae-programs-").tempdir()?;
    for program in PROGRAMS {
        let copy = staged.path().join(program);
        let from = programs.join(program);
        fs::copy(&from, &copy).with_context(|| format!("cannot copy {}", from.display()))?;
        let stripped = run(Command::new("strip").arg(&copy))?;
        if !stripped.ok {
            bail!("strip {program}: {}", stripped.said());
        }
    }
    Ok(staged)
}

fn root() -> Result<PathBuf> {
    Ok(fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?)
}

/// The commit that the sources are at; marked where they differ from it.
fn revision(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let ended = run(Command::new("git").args(arguments).current_dir(root)).ok()?;
        ended.ok.then(|| ended.stdout.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}-changed"),
    }
}
