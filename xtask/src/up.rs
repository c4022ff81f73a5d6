//! `cargo xtask up`.

use std::{convert::Infallible, future::pending, path::Path};

use anyhow::{Context, Result};
use haetae_testkit::parts::Install;
use haetae_tests::{
    Mesh, Options,
    case::Tell,
    practice,
    regtest::{BITCOIN, SATOSHI},
};

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
    let options = Options { redis, bitcoin: true, programs: Some(programs.to_owned()), ..Options::default() };
    let mesh = Mesh::start(options).await?;
    let bitcoin = mesh.bitcoin.as_ref().context("a mesh without Bitcoin")?.node();
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

On Bitcoin, {bitcoin}:

  haetae confirm {on_bitcoin}
  haetae request example watch > watch.toml      # root and assets there: {satoshi}

Nobody mines it but you; a payment waits until you do (the node speaks Bitcoin Core's JSON-RPC):

  curl --user x:{key} --data '{{\"method\":\"generatetoaddress\",\"params\":[1,\"{miner}\"]}}' {node}

People: ji-woo and min-jun (police, unit cyber-1), seo-yeon (police, unit cyber-2), ha-eun (financial supervisor),
su-bin (keeps the mesh running).
Ctrl-C ends everything.",
        profile = profile.display(),
        programs = programs.display(),
        someone = mesh.customers.open("coinone", "hana").await?,
        bitcoin = BITCOIN,
        on_bitcoin = mesh.customers.open_on(BITCOIN, "coinone", "hana").await?,
        satoshi = SATOSHI,
        key = bitcoin.api_key(),
        miner = bitcoin.miner()?,
        node = bitcoin.url(),
    );
    if deal {
        practice::deal(&mesh, narrator).await?;
    }
    pending().await
}
