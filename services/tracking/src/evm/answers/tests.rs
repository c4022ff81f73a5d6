use serde_json::{Value, json};

use super::*;

const HASH: &str = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn word(n: u8) -> String {
    address(n).into_word().to_string()
}

fn transaction(n: u8, value: u64) -> Value {
    json!({"hash": B256::repeat_byte(n), "from": address(1), "to": address(2), "value": U256::from(value),
           "type": "0x7e", "unheardOf": true})
}

fn receipt(n: u8, status: &str, logs: Vec<Value>) -> Value {
    json!({"transactionHash": B256::repeat_byte(n), "blockHash": HASH, "status": status, "from": address(1),
           "contractAddress": null, "logs": logs})
}

fn log(topics: &[String], data: &str) -> Value {
    json!({"address": address(0xee), "topics": topics, "data": data})
}

fn transfer_log(from: u8, to: u8, amount: u64) -> Value {
    log(&[TRANSFER.to_string(), word(from), word(to)], &format!("0x{amount:064x}"))
}

fn block(transactions: Vec<Value>, receipts: Vec<Value>) -> anyhow::Result<Vec<Transfer>> {
    traced(transactions, receipts, None)
}

fn traced(transactions: Vec<Value>, receipts: Vec<Value>, traces: Option<&Traces>) -> anyhow::Result<Vec<Transfer>> {
    let block = json!({"number": "0x7", "hash": HASH, "parentHash": HASH, "timestamp": "0x65",
                       "transactions": transactions});
    let block: FullBlock = serde_json::from_value(block)?;
    let receipts: Vec<Receipt> = receipts.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    Ok(block.with(&receipts, traces)?.transfers().to_vec())
}

#[test]
fn a_transactions_own_value_comes_before_its_logs_and_logs_count_all() {
    let other_event = log(&[B256::repeat_byte(9).to_string()], "0x");
    let nft = log(&[TRANSFER.to_string(), word(3), word(4), word(5)], "0x");
    let logs = vec![other_event, transfer_log(3, 4, 70), nft, transfer_log(4, 5, 60)];
    let found = block(vec![transaction(1, 50)], vec![receipt(1, "0x1", logs)]).unwrap();
    let short: Vec<_> = found.iter().map(|t| (t.index.to_string(), t.token.is_some(), t.amount)).collect();
    let expected = [("native", false, 50u64), ("log/1", true, 70), ("log/3", true, 60)];
    assert_eq!(short, expected.map(|(index, token, amount)| (index.to_owned(), token, U256::from(amount))));
    assert_eq!((found[1].from, found[1].to), (address(3), address(4)));
}

#[test]
fn failed_transactions_move_nothing() {
    assert!(block(vec![transaction(1, 50)], vec![receipt(1, "0x0", Vec::new())]).unwrap().is_empty());
}

#[test]
fn what_a_transaction_cost_comes_first_also_where_it_failed() {
    let mut paid = receipt(1, "0x1", Vec::new());
    (paid["gasUsed"], paid["effectiveGasPrice"]) = (json!("0x5208"), json!("0x3"));
    (paid["blobGasUsed"], paid["blobGasPrice"]) = (json!("0x2"), json!("0x5"));
    let mut failed = receipt(2, "0x0", Vec::new());
    (failed["gasUsed"], failed["effectiveGasPrice"]) = (json!("0x7"), json!("0x2"));
    let found = block(vec![transaction(1, 50), transaction(2, 60)], vec![paid, failed]).unwrap();
    let short: Vec<_> = found.iter().map(|t| (t.index.to_string(), t.amount)).collect();
    let expected = [("fee", 63_010u64), ("native", 50), ("fee", 14)];
    assert_eq!(short, expected.map(|(index, amount)| (index.to_owned(), U256::from(amount))));
    assert!(found[0].is_fee() && found[0].from == address(1) && found[0].to == address(1));
}

#[test]
fn transfers_of_nothing_and_to_oneself_are_none() {
    let logs = vec![transfer_log(3, 4, 0), transfer_log(3, 3, 9)];
    assert!(block(vec![transaction(1, 0)], vec![receipt(1, "0x1", logs)]).unwrap().is_empty());
}

#[test]
fn a_log_that_is_not_shaped_like_a_transfer_is_none() {
    let short = log(&[TRANSFER.to_string(), word(3), word(4)], "0x01");
    let two_topics = log(&[TRANSFER.to_string(), word(3)], &format!("0x{:064x}", 5));
    assert!(block(vec![transaction(1, 0)], vec![receipt(1, "0x1", vec![short, two_topics])]).unwrap().is_empty());
}

#[test]
fn the_order_of_transactions_is_the_blocks_whatever_that_of_the_receipts() {
    let receipts = vec![receipt(2, "0x1", vec![]), receipt(1, "0x1", vec![])];
    let found = block(vec![transaction(1, 1), transaction(2, 2)], receipts).unwrap();
    assert_eq!(found.iter().map(|t| t.amount).collect::<Vec<_>>(), [U256::from(1), U256::from(2)]);
}

#[test]
fn a_block_without_all_its_receipts_is_refused() {
    assert!(block(vec![transaction(1, 1), transaction(2, 2)], vec![receipt(1, "0x1", vec![])]).is_err());
    let mut foreign = receipt(1, "0x1", vec![]);
    foreign["blockHash"] = json!(B256::repeat_byte(0xbb));
    assert!(block(vec![transaction(1, 1)], vec![foreign]).is_err());
}

fn moved(path: &[u32], from: u8, to: u8, amount: u64) -> Step {
    Step::Moved { path: path.to_vec(), from: address(from), to: address(to), amount: U256::from(amount) }
}

fn ids(transfers: &[Transfer]) -> Vec<String> {
    transfers.iter().map(|transfer| transfer.index.to_string()).filter(|index| index != "fee").collect()
}

fn one_log(log: Value) -> Vec<Transfer> {
    block(vec![transaction(1, 0)], vec![receipt(1, "0x1", vec![log])]).unwrap()
}

#[test]
fn calls_and_logs_are_in_the_order_in_which_they_happened_or_calls_come_first() {
    let logs = vec![transfer_log(3, 4, 70), transfer_log(4, 5, 60)];
    let told = |steps: Vec<Step>| {
        let traces = Traces::from([(B256::repeat_byte(1), steps)]);
        let found = traced(vec![transaction(1, 50)], vec![receipt(1, "0x1", logs.clone())], Some(&traces));
        ids(&found.unwrap())
    };
    let by_token = || Step::Logged(address(0xee));
    let in_order = vec![by_token(), moved(&[0], 2, 3, 9), moved(&[0, 1], 3, 6, 8), by_token()];
    assert_eq!(told(in_order), ["native", "log/0", "trace/0", "trace/0/1", "log/1"]);
    let calls_first = ["native", "trace/0", "log/0", "log/1"];
    assert_eq!(told(vec![moved(&[0], 2, 3, 9)]), calls_first);
    assert_eq!(told(vec![by_token(), moved(&[0], 2, 3, 9)]), calls_first, "not all logs are told of");
}

#[test]
fn what_calls_moved_in_a_transaction_that_failed_or_to_oneself_is_nothing() {
    let traces = Traces::from([(B256::repeat_byte(1), vec![moved(&[0], 2, 3, 9), moved(&[1], 2, 2, 9)])]);
    let of = |status| ids(&traced(vec![transaction(1, 0)], vec![receipt(1, status, vec![])], Some(&traces)).unwrap());
    assert_eq!(of("0x0"), Vec::<String>::new());
    assert_eq!(of("0x1"), ["trace/0"]);
}

#[test]
fn a_transfer_event_that_may_number_a_thing_moves_no_money() {
    let topic = TRANSFER.to_string();
    let data = |words: &[String]| format!("0x{}", words.iter().map(|word| &word[2..]).collect::<String>());
    let number = format!("0x{:064x}", 5);
    for (topics, data) in [
        // ERC-721: the number is a third topic.
        (vec![topic.clone(), word(3), word(4), number.clone()], "0x".to_owned()),
        // Nothing is a topic, as in tokens older than ERC-721; or one account.
        (vec![topic.clone()], data(&[word(3), word(4), number.clone()])),
        (vec![topic.clone(), word(3)], data(&[word(4), number.clone()])),
        // What is no address, no amount, or another event.
        (vec![topic.clone(), number.replace("0x0", "0x1"), word(4)], number.clone()),
        (vec![topic.clone(), word(3), word(4)], number[..64].to_owned()),
        (vec![B256::repeat_byte(9).to_string(), word(3), word(4)], number.clone()),
        (vec![], number.clone()),
    ] {
        assert_eq!(one_log(log(&topics, &data)), [], "{topics:?} {data}");
    }
}

#[test]
fn what_follows_the_amount_is_not_read() {
    let topics = [TRANSFER.to_string(), word(3), word(4)];
    let found = one_log(log(&topics, &format!("0x{:064x}{:064x}", 70, 1)));
    assert_eq!(found.iter().map(|t| t.amount).collect::<Vec<_>>(), [U256::from(70)]);
}

/// Somebody has the victim's account "send" nothing to an address that looks like one it knows.
#[test]
fn address_poisoning_is_no_transfer() {
    assert_eq!(one_log(transfer_log(3, 4, 0)), []);
}

#[test]
fn a_token_is_its_contract_whatever_it_calls_itself() {
    let mut spoofed = transfer_log(3, 4, 70);
    spoofed["address"] = json!(address(0xbb));
    let logs = vec![transfer_log(3, 4, 70), spoofed];
    let found = block(vec![transaction(1, 0)], vec![receipt(1, "0x1", logs)]).unwrap();
    let tokens: Vec<_> = found.iter().map(|t| t.token).collect();
    assert_eq!(tokens, [Some(address(0xee)), Some(address(0xbb))]);
}

#[test]
fn a_fee_on_a_transfer_is_a_transfer_of_its_own() {
    let logs = vec![transfer_log(3, 4, 97), transfer_log(3, 9, 3)];
    let found = block(vec![transaction(1, 0)], vec![receipt(1, "0x1", logs)]).unwrap();
    let to: Vec<_> = found.iter().map(|t| (t.to, t.amount)).collect();
    assert_eq!(to, [(address(4), U256::from(97)), (address(9), U256::from(3))]);
}

#[test]
fn a_batch_of_hundreds_of_transfers_is_in_its_order() {
    let logs: Vec<Value> = (1..=500).map(|n| transfer_log(3, 4, n)).collect();
    let found = block(vec![transaction(1, 0)], vec![receipt(1, "0x1", logs)]).unwrap();
    assert_eq!(found.len(), 500);
    assert!(found.iter().zip(0u32..).all(|(t, n)| t.index == TransferIndex::Log(n) && t.amount == U256::from(n + 1)));
}

#[test]
fn what_is_minted_and_burnt_comes_from_nobody_and_goes_to_nobody() {
    let logs = vec![transfer_log(0, 4, 5), transfer_log(4, 0, 5)];
    let found = block(vec![transaction(1, 0)], vec![receipt(1, "0x1", logs)]).unwrap();
    let ends: Vec<_> = found.iter().map(|t| (t.from, t.to)).collect();
    assert_eq!(ends, [(Address::ZERO, address(4)), (address(4), Address::ZERO)]);
}

/// Polygon takes over what happened on Ethereum by a transaction that nobody has sent.
#[test]
fn a_transaction_that_nobody_has_sent_need_not_be_both_in_the_block_and_among_the_receipts() {
    let nobodys = json!({"hash": B256::repeat_byte(9), "from": Address::ZERO, "to": Address::ZERO, "value": "0x0"});
    let mut its_receipt = receipt(9, "0x1", vec![transfer_log(0, 4, 70)]);
    its_receipt["from"] = json!(Address::ZERO);
    let sent = || (transaction(1, 50), receipt(1, "0x1", vec![]));

    let listed = block(vec![sent().0, nobodys.clone()], vec![sent().1]).unwrap();
    assert_eq!(ids(&listed), ["native"]);
    let with_receipt = block(vec![sent().0], vec![sent().1, its_receipt.clone()]).unwrap();
    assert_eq!(ids(&with_receipt), ["native", "log/0"]);
    assert_eq!(block(vec![sent().0, nobodys], vec![sent().1, its_receipt]).unwrap(), with_receipt);
}
