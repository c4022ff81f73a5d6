use alloy_primitives::U256;

use super::*;
use crate::reader::tests::world::database;
use crate::scene;

fn at(number: u64, branch: u8) -> BlockRef {
    let mut hash = B256::from(U256::from(number));
    hash.0[0] = branch;
    BlockRef { number, hash }
}

/// Blocks of a branch.
fn branch(numbers: std::ops::RangeInclusive<u64>, branch: u8) -> Vec<BlockRef> {
    numbers.map(|number| at(number, branch)).collect()
}

#[tokio::test]
async fn what_left_the_chain_is_known_as_long_as_its_blocks_are_kept() {
    let db = database().await;
    let mut tx = db.pool.begin().await.unwrap();
    let (chain, now) = (scene::chain(), Moment::UNIX_EPOCH);
    begin(&mut tx, &chain, &branch(90..=99, 1), at(100, 1), now).await.unwrap();
    advance(&mut tx, &chain, at(100, 1), &branch(101..=150, 1), 12, 150, now).await.unwrap();
    // A reorganisation as deep as somebody allowed for this once.
    advance(&mut tx, &chain, at(110, 1), &branch(111..=200, 2), 64, 200, now).await.unwrap();

    let asked = [at(50, 7), at(110, 1), at(111, 1), at(150, 1), at(150, 2), at(201, 1)];
    assert_eq!(gone(&mut *tx, &chain, &asked).await.unwrap(), [at(111, 1), at(150, 1)]);
    assert_eq!(gone(&mut *tx, &chain, &[]).await.unwrap(), []);

    let before = async |tx: &mut PgConnection, number| before(tx, &chain, 12, number).await.unwrap();
    assert_eq!(before(&mut tx, 195).await, Some(at(188, 2)), "no further than blocks may leave the chain");
    assert_eq!(before(&mut tx, 150).await, Some(at(90, 1)), "it left when they might from further back");
}
