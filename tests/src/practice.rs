//! A case for a person to solve by hand: a theft is reported; as soon as a watch on the thief's address is active, the
//! thief moves; at the end it is said what was frozen in time.

use std::time::Duration;

use anyhow::Result;
use haetae_wire::exchange::v1::LegState;

use crate::{
    Actor, COIN, Mesh, Who,
    case::Tell,
    chain::{ETHER, Kind, TOKEN, address},
    until,
};

/// How long a person may take over a step.
const HOURS: Duration = Duration::from_secs(4 * 3_600);

/// Deals a case and plays the thief.
///
/// # Errors
/// When the chain or an exchange does not do its part.
pub async fn deal(mesh: &Mesh, tell: &mut dyn Tell) -> Result<()> {
    let (victim, root, middle) =
        (Actor::named("practice victim"), Actor::named("practice thief"), Actor::named("practice mule"));
    let deposit = mesh.customers.open("bithumb", "practice-mallory").await?;
    let chain = &mesh.chain;
    chain.give_coins(victim.address(), 10 * ETHER).await?;
    chain.give_coins(middle.address(), ETHER / 10).await?;
    chain.give_tokens(victim.address(), 5_000 * u128::from(TOKEN)).await?;
    chain
        .split(
            &victim,
            &[(root.address(), Kind::Tokens, 5_000 * u128::from(TOKEN)), (root.address(), Kind::Coins, 3 * ETHER)],
        )
        .await?;

    tell.act("Your case");
    tell.step(
        "A victim reports that 5,000 rKRW (5000000000 units) and 3 ether were taken a minute ago, to this address:",
    );
    tell.step(&format!("    {}", root.account()));
    tell.step(&format!("Assets: {} and {COIN}", chain.token()));
    tell.step("Under the warrant of case 2026-cyber-00412: ask for a watch with a standing freeze; have a colleague approve it.");
    tell.step("The thief moves as soon as the watch is active. Then: watch show, freeze show.");

    let agency = mesh.people.agency(Who::JiWoo);
    let watch = until("a watch on the thief is active", HOURS, async || {
        for request in agency.requests().await? {
            if request.watch_id.is_empty() {
                continue;
            }
            let Ok(watch) = agency.watch(&request.watch_id).await else { continue };
            if watch.root.is_some_and(|target| target.account == root.account()) {
                return Ok(Some(request));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(None)
    })
    .await?;
    tell.step("The watch is active. The thief moves: tokens and coins to a mule, then into an exchange");
    chain
        .split(
            &root,
            &[(middle.address(), Kind::Tokens, 5_000 * u128::from(TOKEN)), (middle.address(), Kind::Coins, 2 * ETHER)],
        )
        .await?;
    let into = address(&deposit)?;
    chain.split(&middle, &[(into, Kind::Tokens, 5_000 * u128::from(TOKEN)), (into, Kind::Coins, 2 * ETHER)]).await?;
    let legs = until("what arrived is frozen", Duration::from_secs(60), async || {
        let legs = agency.legs(&watch.request_id).await?;
        let frozen = legs.iter().filter(|leg| leg.reported() == LegState::FrozenFull).count();
        Ok((frozen == 2).then_some(legs))
    })
    .await;
    match legs {
        Ok(legs) => {
            for leg in legs {
                tell.step(&format!("{}: {} of {} frozen", leg.exchange, leg.frozen_amount, leg.asset));
            }
            tell.step("Solved. Both deposits are frozen; the thief's withdrawal will be refused");
        }
        Err(_) => tell.step(
            "Not everything was frozen: did your request name caps for both assets, and was it approved in time?",
        ),
    }
    Ok(())
}
