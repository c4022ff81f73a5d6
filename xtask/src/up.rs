//! `cargo xtask up`.

use std::{convert::Infallible, future::pending, path::Path};

use anyhow::Result;
use haetae_testkit::parts::Install;
use haetae_tests::{Mesh, Options, case::Tell, practice};

use crate::{demo, ending, narrator::Narrator};

/// Starts a mesh and keeps it until it is told to end.
pub(crate) async fn run(redis: bool, deal: bool, install: Install) -> Result<()> {
    let programs = demo::prepared(redis, install).await?;
    let told_to_end = ending::told()?;
    let mut narrator = Narrator::new(false);
    tokio::select! {
        failed = keep(redis, deal, &programs, &mut narrator) => match failed? {},
        () = told_to_end => {}
    }
    narrator.step("Everything that was started is ended");
    Ok(())
}

async fn keep(redis: bool, deal: bool, programs: &Path, narrator: &mut Narrator) -> Result<Infallible> {
    narrator.act("A mesh is started");
    let options = Options { redis, programs: Some(programs.to_owned()), ..Options::default() };
    let mesh = Mesh::start(options).await?;
    let profile = mesh.house.write_profile(&mesh.chain.token())?;
    narrator.step(&format!(
        "{} processes are ready; their logs are in {}",
        mesh.size(),
        mesh.house.path("logs").display()
    ));
    println!(
        "
In another terminal:

  export HAETAE_PROFILE={profile}
  export PATH={programs}:$PATH

  haetae exchange list
  haetae confirm {someone}
  haetae request example watch > watch.toml      # edit, then:
  haetae request submit watch.toml
  haetae --as min-jun request approve REQUEST
  haetae watch show WATCH
  haetae freeze show REQUEST
  haetae log verify
  haetae --as su-bin status

People: ji-woo and min-jun (police, unit cyber-1), seo-yeon (police, unit cyber-2), ha-eun (financial supervisor),
su-bin (keeps the mesh running).
Ctrl-C ends everything.",
        profile = profile.display(),
        programs = programs.display(),
        someone = mesh.customers.open("coinone", "hana").await?,
    );
    if deal {
        practice::deal(&mesh, narrator).await?;
    }
    pending().await
}
