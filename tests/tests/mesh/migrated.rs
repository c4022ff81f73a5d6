//! A service that does not bring its tables up to date itself waits for whoever does.

use std::{process::Output, time::Duration};

use haetae_testkit::{
    binaries,
    postgres::{Cluster, ClusterOptions},
    process::{ProcessSpec, Service},
};
use haetae_tests::{House, Replicas, Room, Surroundings, until};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(60);

async fn run(program: &str, room: &Room, arguments: &[&str], database: &str) -> Output {
    let folder = binaries::built(&[program]).unwrap();
    let mut command = Command::new(folder.join(program));
    command.args(arguments).arg("--config").arg(&room.config).env("HAETAE__DATABASE__URL", database);
    command.output().await.unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether the probe port says 200, none where nobody answers.
async fn probed(port: u16, path: &str) -> Option<bool> {
    let answer = haetae_tests::probe(port, path).await.ok()?;
    Some(answer.starts_with("HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_alive_and_not_ready_until_the_job_has_run() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::build(folder.path(), Replicas::One).unwrap();
    // Nobody listens there: checking a configuration and being ready need no peer, no node and no Redis.
    let nowhere = "http://127.0.0.1:1".to_owned();
    let around = Surroundings {
        postgres: "postgres://haetae@127.0.0.1:1/".to_owned(),
        redis: None,
        node: (nowhere.clone(), nowhere),
        token: "eip155:31337/erc20:0x5FbDB2315678afecb367f032d93F642f64180aa3".to_owned(),
        bitcoin: None,
        otlp: None,
    };
    let rooms = house.furnish(&around).unwrap();
    let room = rooms.iter().find(|room| room.name == "freeze").unwrap();
    let program = room.program;
    let down = format!("{}{}", around.postgres, room.database);
    let checked = run(program, room, &["check-config"], &down).await;
    assert!(checked.status.success(), "a configuration is checked without the database: {}", text(&checked));
    let refused = run(program, room, &["migrate"], &down).await;
    assert!(!refused.status.success() && text(&refused).contains("cannot be reached"), "{}", text(&refused));

    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let database = cluster.database(&room.database).await.unwrap();
    cluster.role("serves").await.unwrap();
    let log = folder.path().join("freeze.log");
    let mut service = Service::spawn(ProcessSpec {
        name: room.name.clone(),
        program: binaries::built(&[program]).unwrap().join(program),
        args: vec!["--config".into(), room.config.clone().into()],
        env: vec![
            ("HAETAE__DATABASE__URL".into(), cluster.url_as("serves", &room.database).into()),
            ("HAETAE__DATABASE__MIGRATE".into(), "check".into()),
        ],
        log: log.clone(),
    })
    .unwrap();
    let probes = room.listener.probes;
    let alive = until("it is alive", PATIENCE, async || Ok(probed(probes, "/livez").await.filter(|ok| *ok)));
    alive.await.unwrap();
    assert_eq!(probed(probes, "/readyz").await, Some(false));
    let said = || std::fs::read_to_string(&log).unwrap();
    let why = until("it says why", PATIENCE, async || {
        let said = said();
        Ok((said.contains("run `haetae-freeze migrate`") && said.contains("freeze/0001_freeze")).then_some(()))
    });
    assert!(why.await.is_ok(), "{}", said());

    let migrated = run(program, room, &["migrate", "--grant", "serves"], &database.url).await;
    assert!(migrated.status.success(), "{}", text(&migrated));
    assert!(text(&migrated).contains("applied freeze/0001_freeze"), "{}", text(&migrated));
    let ready = until("it is ready", PATIENCE, async || Ok(probed(probes, "/readyz").await.filter(|ok| *ok)));
    ready.await.unwrap();
    let again = run(program, room, &["migrate", "--grant", "serves"], &database.url).await;
    assert!(text(&again).contains("up to date"), "{}", text(&again));

    let ended = service.terminate(Duration::from_secs(20)).await.unwrap();
    assert!(ended.success(), "{ended}");
}
