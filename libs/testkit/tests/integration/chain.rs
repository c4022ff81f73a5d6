//! The Ethereum node, and the other parts that npm carries.

use std::process::Command;

use anyhow::Result;
use haetae_testkit::anvil::{Anvil, AnvilOptions};
use haetae_testkit::parts::{self, Install, Part};
use serde_json::json;

#[tokio::test]
async fn anvil_mines_moves_money_and_finalises() -> Result<()> {
    let anvil = Anvil::start(AnvilOptions::default()).await?;
    let accounts = anvil.rpc("eth_accounts", json!([])).await?;
    assert_eq!(accounts.as_array().map(Vec::len), Some(10));
    let transfer = json!([{"from": accounts[0], "to": accounts[1], "value": "0x1"}]);
    anvil.rpc("eth_sendTransaction", transfer).await?;
    anvil.rpc("anvil_mine", json!(["0x3"])).await?;
    assert_eq!(anvil.rpc("eth_blockNumber", json!([])).await?, "0x4");
    let finalized = anvil.rpc("eth_getBlockByNumber", json!(["finalized", false])).await?;
    assert_eq!(finalized["number"], "0x2");
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_node_is_an_error() -> Result<()> {
    let anvil = Anvil::start(AnvilOptions { chain_id: 1, accounts: 1, ..AnvilOptions::default() }).await?;
    assert_eq!(anvil.rpc("eth_chainId", json!([])).await?, "0x1");
    assert!(anvil.rpc("eth_noSuchThing", json!([])).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_linter_is_a_program_and_the_compiler_a_module() -> Result<()> {
    let found = parts::ensure_async(&[Part::Buf, Part::Solc], Install::Allowed).await?;
    assert!(Command::new(found.path(Part::Buf)?).arg("--version").output()?.status.success());
    let script = format!("console.log(require({:?}).version())", found.path(Part::Solc)?);
    let output = Command::new("node").args(["-e", &script]).output()?;
    assert!(output.stdout.starts_with(b"0.8."), "{output:?}");
    Ok(())
}
