//! Programs that end when they are told to, and with their owner.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use haetae_testkit::ports::free_ports;
use haetae_testkit::process::{ProcessSpec, Service};

fn shell(folder: &Path, script: &str) -> ProcessSpec {
    ProcessSpec {
        name: "script".into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("GREETING".into(), "hello".into())],
        log: folder.join("script.log"),
    }
}

async fn logged(service: &Service, text: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !std::fs::read_to_string(service.log())?.contains(text) {
        if Instant::now() > deadline {
            bail!("{text:?} is not in the log");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn lives(pid: &str) -> bool {
    // A zombie waits for its parent to look at it; it does nothing any more.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_program_ends_politely_when_terminated() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut service = Service::spawn(shell(
        folder.path(),
        "trap 'echo bye; exit 7' TERM; echo $GREETING; while :; do sleep 0.01; done",
    ))?;
    logged(&service, "hello").await?;
    assert!(service.is_running());
    assert_eq!(service.terminate(Duration::from_secs(10)).await?.code(), Some(7));
    assert!(!service.is_running());
    logged(&service, "bye").await
}

#[tokio::test]
async fn a_program_that_will_not_end_is_killed_and_reported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut service = Service::spawn(shell(folder.path(), "trap '' TERM; echo up; while :; do sleep 0.01; done"))?;
    logged(&service, "up").await?;
    assert!(service.terminate(Duration::from_millis(50)).await.is_err());
    assert!(!service.is_running());
    Ok(())
}

#[tokio::test]
async fn dropping_a_program_ends_its_children_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::spawn(shell(folder.path(), "sleep 1000 & echo child $! .; wait"))?;
    logged(&service, " .").await?;
    let log = std::fs::read_to_string(service.log())?;
    let child = log.split(' ').nth(1).unwrap_or_default().to_owned();
    assert!(lives(&child));
    drop(service);
    let deadline = Instant::now() + Duration::from_secs(10);
    while lives(&child) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!lives(&child));
    Ok(())
}

#[tokio::test]
async fn a_killed_program_starts_again_as_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut service = Service::spawn(shell(folder.path(), "echo up as $$ .; exec sleep 1000"))?;
    logged(&service, &format!("as {} .", service.pid())).await?;
    service.kill9();
    assert!(!service.is_running());
    service.restart()?;
    assert!(service.is_running());
    logged(&service, &format!("as {} .", service.pid())).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_started_on_a_thread_that_has_ended_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = shell(folder.path(), "echo up; exec sleep 1000");
    let mut service = std::thread::spawn(move || Service::spawn(spec)).join().expect("does not panic")?;
    logged(&service, "up").await?;
    assert!(service.is_running());
    Ok(())
}

/// What the next test runs in a process of its own, to kill it.
#[tokio::test]
#[ignore = "waits to be killed"]
async fn parent_that_is_killed() -> Result<()> {
    let folder = std::env::var_os("TESTKIT_KILLED_PARENT").expect("the next test says where");
    let _service = Service::spawn(shell(Path::new(&folder), "echo child $$ .; exec sleep 1000"))?;
    std::future::pending().await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_dies_with_its_killed_parent() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut parent = Service::spawn(ProcessSpec {
        name: "parent".into(),
        program: std::env::current_exe()?,
        args: vec!["--ignored".into(), "--exact".into(), "processes::parent_that_is_killed".into()],
        env: vec![("TESTKIT_KILLED_PARENT".into(), folder.path().into())],
        log: folder.path().join("parent.log"),
    })?;
    let log = folder.path().join("script.log");
    let deadline = Instant::now() + Duration::from_secs(10);
    let child = loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if text.contains(" .") {
            break text.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if Instant::now() > deadline {
            bail!("the child did not start");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(lives(&child));
    parent.kill9();
    while lives(&child) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!lives(&child));
    Ok(())
}

#[test]
fn ports_are_distinct() -> Result<()> {
    let ports: HashSet<u16> = free_ports::<50>()?.into();
    assert_eq!(ports.len(), 50);
    Ok(())
}
