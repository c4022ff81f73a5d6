use haetae_core::WalletRole;
use time::Duration;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::brake::{Halt, Scope};

const NOON: Moment = datetime!(2026-03-01 12:00 UTC);

fn ether() -> Asset {
    "eip155:1/slip44:60".parse().unwrap()
}

fn exchange(name: &str) -> ExchangeId {
    name.parse().unwrap()
}

fn armed(cap: u64, legs_per_hour: u32, holders: u32) -> Standing {
    let line =
        |n| Line { id: AuthorisationId(Uuid::from_u128(n)), valid_until: NOON + Duration::days(7), legs_per_hour: 100 };
    Standing::new(Terms {
        watch: WatchId(Uuid::from_u128(1)),
        case: CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: "1".into() },
        caps: [(ether(), cap.into())].into(),
        until: NOON + Duration::days(30),
        legs_per_hour,
        holders,
        lines: [(exchange("upbit"), line(1)), (exchange("bithumb"), line(2))].into(),
    })
}

/// Arrival `n`, each at an account of its own.
fn found(n: u8, traced: u64) -> Found {
    Found {
        arrival: ArrivalId(Uuid::from_u128(u128::from(n))),
        exchange: exchange("upbit"),
        target: Target::account(format!("eip155:1:0x{:040x}", u32::from(n) + 1).parse().unwrap()),
        asset: ether(),
        traced: traced.into(),
        wallet_role: Some(WalletRole::CustomerDeposit),
    }
}

fn tell(standing: &mut Standing, command: Command, brake: &Brake, now: Moment) -> Vec<Event> {
    let events = standing.decide(command, brake, now).unwrap();
    events.iter().for_each(|event| standing.apply(event));
    events
}

fn serve(standing: &mut Standing, found: Found) -> Result<Amount, Unserved> {
    let (arrival, exchange) = (found.arrival, found.exchange.clone());
    tell(standing, Command::Serve(found), &Brake::default(), NOON);
    outcome(standing, arrival, &exchange)
}

fn outcome(standing: &Standing, arrival: ArrivalId, exchange: &ExchangeId) -> Result<Amount, Unserved> {
    let claim = standing.claim(arrival, exchange).unwrap();
    match claim.rest {
        Rest::Waits(why) if claim.granted.is_zero() => Err(why),
        _ => Ok(claim.granted),
    }
}

#[test]
fn an_arrival_reserves_what_is_traced_and_at_most_what_is_left() {
    let mut standing = armed(100, 10, 10);
    assert_eq!(serve(&mut standing, found(1, 60)), Ok(60_u64.into()));
    assert_eq!(serve(&mut standing, found(2, 60)), Ok(40_u64.into()));
    assert_eq!(serve(&mut standing, found(3, 60)), Err(Unserved::CapExhausted));
    assert_eq!(standing.claims[1].rest, Rest::Waits(Unserved::CapExhausted));
}

#[test]
fn a_freed_reserve_serves_what_waits_oldest_first() {
    let mut standing = armed(100, 10, 10);
    for (n, traced) in [(1, 100), (2, 30), (3, 90), (4, 50)] {
        let _ = serve(&mut standing, found(n, traced));
    }
    let leg = standing.leg_of(&found(1, 100)).unwrap();
    tell(&mut standing, Command::Settle { leg, keep: Amount::ZERO }, &Brake::default(), NOON);
    let granted: Vec<_> = standing.claims.iter().map(|claim| claim.granted.to_string()).collect();
    assert_eq!(granted, ["100", "30", "70", "0"]);
    assert_eq!(standing.reserved(&ether()), 100_u64.into());
    assert_eq!(standing.claims[0].rest, Rest::Closed);
}

#[test]
fn what_is_not_a_customers_deposit_address_waits_for_a_person() {
    let mut standing = armed(100, 10, 10);
    for (n, role) in [(1, None), (2, Some(WalletRole::OmnibusWithMemo)), (3, Some(WalletRole::ExchangeOwn))] {
        let found = Found { wallet_role: role, ..found(n, 10) };
        assert_eq!(serve(&mut standing, found), Err(Unserved::WalletRole));
    }
}

#[test]
fn exchanges_and_assets_that_nobody_approved_are_not_frozen() {
    let mut standing = armed(100, 10, 10);
    let elsewhere = Found { exchange: exchange("gopax"), ..found(1, 10) };
    assert_eq!(serve(&mut standing, elsewhere), Err(Unserved::ExchangeNotAuthorised));
    let other = Found { asset: "eip155:56/slip44:60".parse().unwrap(), ..found(2, 10) };
    assert_eq!(serve(&mut standing, other), Err(Unserved::NoCap));
}

#[test]
fn the_limit_on_legs_counts_new_legs_of_the_last_hour() {
    let mut standing = armed(100, 2, 10);
    assert_eq!(serve(&mut standing, found(1, 10)), Ok(10_u64.into()));
    assert_eq!(serve(&mut standing, found(2, 10)), Ok(10_u64.into()));
    assert_eq!(serve(&mut standing, found(3, 10)), Err(Unserved::LegsPerHour));
    let again = Found { arrival: found(9, 10).arrival, ..found(1, 10) };
    assert_eq!(serve(&mut standing, again), Ok(10_u64.into()));
    assert_eq!(standing.reserves.len(), 2);

    let brake = Brake::default();
    tell(&mut standing, Command::Resume, &brake, NOON + Duration::minutes(59));
    assert_eq!(outcome(&standing, found(3, 10).arrival, &exchange("upbit")), Err(Unserved::LegsPerHour));
    tell(&mut standing, Command::Resume, &brake, NOON + Duration::minutes(61));
    assert_eq!(outcome(&standing, found(3, 10).arrival, &exchange("upbit")), Ok(10_u64.into()));
}

#[test]
fn beyond_the_limit_of_account_holders_a_new_leg_waits_for_a_person() {
    let mut standing = armed(100, 10, 1);
    let _ = serve(&mut standing, found(1, 10));
    let leg = standing.leg_of(&found(1, 10)).unwrap();
    tell(&mut standing, Command::Holder { leg, holder: "h-1".into() }, &Brake::default(), NOON);
    assert_eq!(serve(&mut standing, found(2, 10)), Err(Unserved::Holders));
}

#[test]
fn while_halted_nothing_is_reserved_and_a_resume_serves_it() {
    let mut standing = armed(100, 10, 10);
    let halt = Halt {
        request: haetae_core::RequestId(Uuid::from_u128(1)),
        scope: Scope::Exchange(exchange("upbit")),
        case: standing.terms.case.clone(),
        since: NOON,
    };
    let brake = Brake::new([halt]);
    tell(&mut standing, Command::Serve(found(1, 10)), &brake, NOON);
    assert_eq!(outcome(&standing, found(1, 10).arrival, &exchange("upbit")), Err(Unserved::Halted));
    assert_eq!(tell(&mut standing, Command::Resume, &brake, NOON), []);
    tell(&mut standing, Command::Resume, &Brake::default(), NOON);
    assert_eq!(outcome(&standing, found(1, 10).arrival, &exchange("upbit")), Ok(10_u64.into()));
}

#[test]
fn after_its_end_or_its_period_nothing_is_served() {
    let mut standing = armed(100, 10, 10);
    let _ = serve(&mut standing, found(1, 100));
    let _ = serve(&mut standing, found(2, 10));
    tell(&mut standing, Command::End, &Brake::default(), NOON);
    assert_eq!(outcome(&standing, found(2, 10).arrival, &exchange("upbit")), Err(Unserved::AuthorityOver));
    assert_eq!(serve(&mut standing, found(3, 10)), Err(Unserved::AuthorityOver));

    let mut expired = armed(100, 10, 10);
    tell(&mut expired, Command::Serve(found(1, 10)), &Brake::default(), NOON + Duration::days(7));
    assert_eq!(outcome(&expired, found(1, 10).arrival, &exchange("upbit")), Err(Unserved::AuthorityOver));
}

#[test]
fn what_a_person_released_is_not_frozen_again() {
    let mut standing = armed(100, 10, 10);
    let _ = serve(&mut standing, found(1, 100));
    let leg = standing.leg_of(&found(1, 100)).unwrap();
    tell(&mut standing, Command::Close(leg), &Brake::default(), NOON);
    tell(&mut standing, Command::Settle { leg, keep: Amount::ZERO }, &Brake::default(), NOON);
    let again = Found { arrival: found(9, 10).arrival, ..found(1, 10) };
    assert_eq!(serve(&mut standing, again), Err(Unserved::AuthorityOver));
    assert_eq!(serve(&mut standing, found(2, 10)), Ok(10_u64.into()));
}

#[test]
fn an_arrival_that_is_taken_back_leaves_the_queue_and_may_return() {
    let mut standing = armed(100, 10, 10);
    let _ = serve(&mut standing, found(1, 100));
    let _ = serve(&mut standing, found(2, 50));
    let brake = Brake::default();
    tell(&mut standing, Command::Withdraw { arrival: found(2, 50).arrival, exchange: exchange("upbit") }, &brake, NOON);
    let leg = standing.leg_of(&found(1, 100)).unwrap();
    tell(&mut standing, Command::Settle { leg, keep: Amount::ZERO }, &brake, NOON);
    assert_eq!(standing.reserved(&ether()), Amount::ZERO);
    assert_eq!(serve(&mut standing, found(2, 50)), Ok(50_u64.into()));
    assert_eq!(
        standing.decide(Command::Serve(found(2, 50)), &brake, NOON),
        Err(Refusal::KnownArrival),
        "the same arrival read again"
    );
}
