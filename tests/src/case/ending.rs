//! A release, everything checked from outside, and the case as a picture.

use std::{ffi::OsStr, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use haetae_wire::{exchange::v1::LegState, intake::v1::Request, sandbox::v1::WithdrawalOutcome};

use super::Play;
use crate::{
    Actor,
    agency::{self, under_warrant},
    chain::TOKEN,
};

impl Play<'_> {
    /// A release after a second approval.
    pub(super) async fn release(&mut self, request: &Request) -> Result<()> {
        self.tell.act("Last act: what is frozen can be released, and everything can be checked");
        let legs = self.investigator.legs(&request.request_id).await?;
        let leg = legs.iter().find(|leg| leg.exchange == "upbit").context("no leg at Upbit")?;
        let content = under_warrant(agency::release(&request.request_id, vec![leg.leg_id.clone()]));
        let released = self.investigator.submit(content).await?;
        self.leader.approve(&released.request_id).await?;
        self.tell.step("The court orders a release at Upbit: asked for by one, approved by another");
        self.legs(request, "the leg is released", |legs| {
            legs.iter().any(|now| now.leg_id == leg.leg_id && now.reported() == LegState::Released)
        })
        .await?;
        let to = Actor::named("thief exit").account();
        let amount = 250_000 * TOKEN as u128;
        let answer = self.mesh.customers.withdraw("upbit", "mallory", &self.token, amount, &to).await?;
        ensure!(answer.outcome() == WithdrawalOutcome::Paid, "after the release: {:?}", answer.outcome());
        self.tell.step("Upbit acknowledges, signed; the withdrawal is paid");
        Ok(())
    }

    /// Every log is read and recomputed by an auditor's own tool.
    pub(super) async fn evidence(&mut self, tool: &Path) -> Result<()> {
        self.with_tool(tool, &["log".as_ref(), "verify".as_ref()]).await.context("the logs do not verify")?;
        self.outcome.evidence_verified = true;
        self.tell.step("Every log is verified from outside: signatures, trees, checkpoints");
        Ok(())
    }

    /// The money flow of the whole case, as an investigator draws it.
    pub(super) async fn picture(&mut self, tool: &Path, file: &Path) -> Result<()> {
        self.with_tool(tool, &["trace".as_ref(), "--out".as_ref(), file.as_os_str()])
            .await
            .context("the case's picture is not drawn")?;
        let size = std::fs::metadata(file).with_context(|| format!("no picture in {}", file.display()))?.len();
        ensure!(size > 0, "an empty picture in {}", file.display());
        self.tell.step(&format!("The case's picture is in {}", file.display()));
        self.outcome.picture = Some(file.to_owned());
        Ok(())
    }

    async fn with_tool(&self, tool: &Path, arguments: &[&OsStr]) -> Result<()> {
        let profile = self.mesh.house.write_profile(&self.token)?;
        let ended = tokio::process::Command::new(tool)
            .args(["--profile".as_ref(), profile.as_os_str(), "--json".as_ref()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("{} cannot be run", tool.display()))?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }
}
