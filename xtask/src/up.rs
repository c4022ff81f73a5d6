//! `cargo xtask up`.

use anyhow::Result;
use haetae_testkit::binaries;
use haetae_tests::{Mesh, Options, case::Tell, practice};

use crate::{demo::PROGRAMS, narrator::Narrator};

/// Starts a mesh and keeps it until Ctrl-C.
pub(crate) async fn run(redis: bool, deal: bool) -> Result<()> {
    let programs = tokio::task::spawn_blocking(|| binaries::built(&PROGRAMS)).await??;
    let mut narrator = Narrator::new(false);
    narrator.act("A mesh is started");
    let options = Options { redis, programs: Some(programs.clone()), ..Options::default() };
    let mesh = Mesh::start(options).await?;
    let profile = mesh.house.write_profile(&mesh.chain.token())?;
    narrator.step(&format!(
        "{} processes are ready; their logs are in {}",
        mesh.size(),
        mesh.house.path("logs").display()
    ));
    let haetae = programs.join("haetae");
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

People: ji-woo and min-jun (police, unit cyber-1), seo-yeon (police, unit cyber-2), ha-eun (financial supervisor).
Ctrl-C ends everything.",
        profile = profile.display(),
        programs = haetae.parent().unwrap_or(&haetae).display(),
        someone = mesh.customers.open("coinone", "hana").await?,
    );
    let interrupted = tokio::signal::ctrl_c();
    if deal {
        tokio::select! {
            solved = practice::deal(&mesh, &mut narrator) => {
                solved?;
                tokio::signal::ctrl_c().await?;
            }
            ended = interrupted => ended?,
        }
    } else {
        interrupted.await?;
    }
    narrator.step("Everything that was started is ended");
    Ok(())
}
