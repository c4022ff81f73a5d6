use alloy::primitives::uint;

use super::*;

const BLOCK: B256 = B256::repeat_byte(0xaa);
const TRANSACTION: B256 = B256::repeat_byte(1);

fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn moved(path: &[u32], from: u8, to: u8, amount: u64) -> Step {
    Step::Moved { path: path.to_vec(), from: address(from), to: address(to), amount: U256::from(amount) }
}

fn call(kind: &str, from: u8, to: u8, value: u64, calls: Vec<Value>) -> Value {
    json!({"type": kind, "from": address(from), "to": address(to), "value": U256::from(value), "calls": calls,
           "gas": "0x1", "input": "0x"})
}

fn failed(mut call: Value) -> Value {
    call["error"] = json!("execution reverted");
    call
}

fn precompiled(from: u8) -> Value {
    json!({"type": "STATICCALL", "from": address(from), "to": "0x0000000000000000000000000000000000000001"})
}

fn in_tree(top: Value) -> Vec<Step> {
    let answer = json!([{"txHash": TRANSACTION, "result": top}]).to_string();
    let answer: Vec<TracedTransaction> = serde_json::from_str(&answer).unwrap();
    from_calls(&answer, &[TRANSACTION]).unwrap().remove(&TRANSACTION).unwrap()
}

fn flat(kind: &str, path: &[u32], action: Value, more: Value) -> Value {
    let mut call = json!({"type": kind, "traceAddress": path, "action": action, "blockHash": BLOCK, "blockNumber": 7,
                          "transactionHash": TRANSACTION, "transactionPosition": 0, "subtraces": 0});
    for (key, value) in more.as_object().unwrap() {
        call[key] = value.clone();
    }
    call
}

fn flat_call(path: &[u32], kind: &str, from: u8, to: u8, value: u64) -> Value {
    let action = json!({"callType": kind, "from": address(from), "to": address(to), "value": U256::from(value)});
    flat("call", path, action, json!({"result": {"gasUsed": "0x0", "output": "0x"}}))
}

fn in_list(calls: Vec<Value>) -> Vec<Step> {
    let calls: Vec<FlatCall> = serde_json::from_value(json!(calls)).unwrap();
    from_flat(&calls, BLOCK).unwrap().remove(&TRANSACTION).unwrap_or_default()
}

/// One transaction as both tracers tell it: payments one within another, calls that move nothing by their kind, a call
/// that failed with one within it that did not, a creation, a contract's end, and a precompiled contract.
#[test]
fn both_tracers_give_a_transfer_the_same_id() {
    let tree = call(
        "CALL",
        1,
        2,
        100,
        vec![
            precompiled(2),
            call("CALL", 2, 3, 10, vec![call("CALL", 3, 4, 5, vec![]), call("STATICCALL", 3, 5, 0, vec![])]),
            failed(call("CALL", 2, 6, 20, vec![call("CALL", 6, 7, 3, vec![])])),
            call("DELEGATECALL", 2, 8, 100, vec![call("CALL", 2, 9, 7, vec![])]),
            call("CALLCODE", 2, 8, 9, vec![]),
            call("CREATE2", 2, 10, 11, vec![call("SELFDESTRUCT", 10, 12, 11, vec![])]),
        ],
    );
    let create = json!({"from": address(2), "value": "0xb", "creationMethod": "create2"});
    let end = json!({"address": address(10), "refundAddress": address(12), "balance": "0xb"});
    let mut broken = flat_call(&[1], "call", 2, 6, 20);
    (broken["error"], broken["result"]) = (json!("Reverted"), Value::Null);
    let list = vec![
        flat_call(&[], "call", 1, 2, 100),
        flat_call(&[0], "call", 2, 3, 10),
        flat_call(&[0, 0], "call", 3, 4, 5),
        flat_call(&[0, 1], "staticcall", 3, 5, 0),
        broken,
        flat_call(&[1, 0], "call", 6, 7, 3),
        flat_call(&[2], "delegatecall", 2, 8, 100),
        flat_call(&[2, 0], "call", 2, 9, 7),
        flat_call(&[3], "callcode", 2, 8, 9),
        flat("create", &[4], create, json!({"result": {"address": address(10), "code": "0x"}})),
        flat("suicide", &[4, 0], end, json!({"result": null})),
        json!({"type": "reward", "traceAddress": [], "blockHash": BLOCK, "result": null,
               "action": {"author": address(9), "rewardType": "block", "value": "0x1"}}),
    ];
    let expected = [
        moved(&[0], 2, 3, 10),
        moved(&[0, 0], 3, 4, 5),
        moved(&[1, 0], 2, 9, 7),
        moved(&[3], 2, 10, 11),
        moved(&[3, 0], 10, 12, 11),
    ];
    assert_eq!(in_tree(tree), expected);
    assert_eq!(in_list(list), expected);
}

#[test]
fn a_transaction_that_failed_moved_nothing_within() {
    assert_eq!(in_tree(failed(call("CALL", 1, 2, 9, vec![call("CALL", 2, 3, 9, vec![])]))), []);
    let mut top = flat_call(&[], "call", 1, 2, 9);
    top["error"] = json!("out of gas");
    assert_eq!(in_list(vec![top, flat_call(&[0], "call", 2, 3, 9)]), []);
}

#[test]
fn logs_stand_among_the_calls_as_they_were_written() {
    let log = |n: u8, position: Value| json!({"address": address(n), "topics": [], "data": "0x", "position": position});
    let mut inner = call("CALL", 2, 3, 1, vec![]);
    inner["logs"] = json!([log(3, json!("0x0"))]);
    let mut top =
        call("CALL", 1, 2, 0, vec![inner, failed(call("CALL", 2, 4, 1, vec![])), call("CALL", 2, 5, 6, vec![])]);
    top["logs"] = json!([log(7, json!("0x0")), log(8, json!(2)), log(9, json!("0x3"))]);
    let logged = |n| Step::Logged(address(n));
    let expected = [logged(7), moved(&[0], 2, 3, 1), logged(3), logged(8), moved(&[1], 2, 5, 6), logged(9)];
    assert_eq!(in_tree(top), expected);
}

#[test]
fn nobody_hides_a_payment_behind_a_thousand_calls() {
    let mut text = r#"{"type":"CALL","from":"FROM","to":"TO","value":"0x7"}"#.to_owned();
    for _ in 0..1_023 {
        text = format!(r#"{{"type":"CALL","from":"FROM","to":"TO","value":"0x0","calls":[{text}]}}"#);
    }
    let text = text.replace("FROM", &address(1).to_string()).replace("TO", &address(2).to_string());
    let result = RawValue::from_string(text).unwrap();
    let steps = steps_of(&result).unwrap();
    let [Step::Moved { path, amount, .. }] = steps.as_slice() else { panic!("{} steps", steps.len()) };
    assert_eq!((path.len(), *amount), (1_023, uint!(7_U256)));
}

#[test]
fn an_answer_about_something_else_is_refused() {
    let of = |answer: Value| {
        let answer: Vec<TracedTransaction> = serde_json::from_str(&answer.to_string()).unwrap();
        from_calls(&answer, &[TRANSACTION])
    };
    let top = call("CALL", 1, 2, 0, vec![]);
    assert!(of(json!([{"result": top.clone()}])).unwrap().contains_key(&TRANSACTION), "older nodes name nothing");
    assert!(of(json!([{"result": top.clone()}, {"result": top}])).is_err());
    assert!(of(json!([{"txHash": TRANSACTION, "error": "execution timeout"}])).is_err());
    let calls: Vec<FlatCall> = serde_json::from_value(json!([flat_call(&[], "call", 1, 2, 1)])).unwrap();
    assert!(from_flat(&calls, B256::repeat_byte(0xbb)).is_err());
}
