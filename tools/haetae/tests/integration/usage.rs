use haetae_testkit::ports::free_port;

use crate::world::{World, run};

#[tokio::test]
async fn help_lists_every_command_and_the_exit_codes() {
    let ran = run(None, &["--help"]).await;
    assert_eq!(ran.code(), 0);
    for word in [
        "confirm",
        "request",
        "watch",
        "freeze",
        "halt",
        "resume",
        "status",
        "parked",
        "drain",
        "exchange",
        "log",
        "Exit codes",
    ] {
        assert!(ran.out().contains(word), "{word} in {}", ran.out());
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_prints_nothing_on_standard_output() {
    let malformed = ["request", "show", "not-a-uuid"];
    let incomplete = ["halt"];
    let unknown = ["arrest", "everyone"];
    for words in [&malformed[..], &incomplete, &unknown] {
        let ran = run(None, words).await;
        assert_eq!((ran.code(), ran.out()), (2, ""), "{words:?}");
    }
}

#[tokio::test]
async fn without_a_profile_it_says_how_to_get_one() {
    let ran = run(Some("/nowhere/profile.toml".into()), &["exchange", "list"]).await;
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("/nowhere/profile.toml") && ran.err().contains("haetae profile example"), "{ran:?}");
}

#[tokio::test]
async fn examples_need_no_profile() {
    let ran = run(Some("/nowhere/profile.toml".into()), &["request", "example", "watch"]).await;
    assert_eq!(ran.code(), 0);
    assert!(ran.out().contains("[watch.standing_freeze]"), "{ran:?}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_ends_with_4_and_a_remedy() {
    let world = World::new();
    world.profile(([127, 0, 0, 1], free_port().unwrap()).into(), "", "");
    let ran = world.haetae(&["exchange", "list"]).await;
    assert_eq!((ran.code(), ran.out()), (4, ""));
    assert!(ran.err().contains("PEER_UNREACHABLE") && ran.err().contains("-v shows why"), "{ran:?}");

    let ran = world.haetae(&["exchange", "list", "-v"]).await;
    assert!(ran.err().contains("Connection refused"), "{ran:?}");

    let ran = world.haetae(&["exchange", "list", "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(ran.err()).unwrap();
    assert_eq!((&error["error"]["exit_code"], &error["error"]["reason"]), (&4.into(), &"PEER_UNREACHABLE".into()));
}

#[tokio::test]
async fn a_read_without_a_purpose_is_not_sent() {
    let world = World::new();
    world.profile(([127, 0, 0, 1], free_port().unwrap()).into(), "", "");
    let ran = world.haetae(&["exchange", "list", "--purpose", " "]).await;
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("why is this read?"), "{ran:?}");
}
