use super::*;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    #[serde(default)]
    replies: u32,
    token: Option<Secret<String>>,
}

impl Section for Own {}

const FILE: &str = r#"
[server]
listen = "127.0.0.1:1"
tls = { cert = "/dev/null", key = "/dev/null", client_ca = "/dev/null" }
[server.roles]
connector = ["spiffe://police.example/connector/*"]
[server.systems."spiffe://police.example/agency/KICS"]
agency = "NPA"
name = "KICS"
[peers.tracking]
endpoints = ["https://tracking:8443"]
[database]
url = "postgres://haetae:hunter2@db/intake"
[service]
replies = 3
"#;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings<Own>, Faults> {
    Settings::from_parts(file, environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn faults(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment).unwrap_err().to_string()
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_defaults() {
    let settings = load(
        FILE,
        &[
            ("HAETAE__SERVER__LIMITS__MAX_STREAMS", "7"),
            ("HAETAE__PEERS__TRACKING__ENDPOINTS", r#"["https://a:1", "https://b:2"]"#),
            ("HAETAE__SERVICE__REPLIES", "4"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.listen.port(), 1);
    assert_eq!(settings.server.limits.max_streams, 7);
    assert_eq!(settings.server.limits.max_concurrent, 1024);
    assert_eq!(settings.peers["tracking"].endpoints.len(), 2);
    assert_eq!(settings.service.replies, 4);
    assert_eq!(settings.server.systems["spiffe://police.example/agency/KICS"].agency, "NPA");
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let settings = load(FILE, &[("HAETAE__SERVICE__TOKEN", "0042")]).unwrap();
    assert_eq!(settings.service.token.unwrap().expose(), "0042");
}

#[test]
fn a_key_that_nobody_reads_is_a_fault_wherever_it_stands() {
    assert!(faults(FILE, &[("HAETAE__SERVER__LISTNE", "x")]).contains("listne"), "in the environment");
    assert!(faults(FILE, &[("HAETAE__SERVR__LISTEN", "x")]).contains("servr: no such section"), "as a section");
    let file = FILE.replace("replies", "repleis");
    assert!(faults(&file, &[]).contains("repleis"), "in the file");
}

#[test]
fn every_sections_fault_is_told_at_once() {
    let file = FILE
        .replace("replies = 3", "replies = \"many\"")
        .replace("https://tracking:8443", "tracking")
        .replace("connector/*\"]", "connector/*\"]\nauditor = [\"spiffe://police.example/connector/a\"]")
        .replace("cert = \"/dev/null\"", "cert = \"/nowhere/cert\"");
    let told = faults(&file, &[]);
    for part in ["service", "peers", "overlap", "/nowhere/cert"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn secrets_are_hidden_in_what_is_shown() {
    let settings = load(FILE, &[("HAETAE__REDIS__URL", "redis://:swordfish@r")]).unwrap();
    let shown = settings.effective().unwrap() + &format!("{settings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("swordfish"));
    assert!(shown.contains("(hidden)"));
    assert!(shown.contains("max_streams = 1024"));
}

#[test]
fn a_peer_without_certificates_of_its_own_is_called_with_the_servers() {
    let settings = load(FILE, &[]).unwrap();
    assert_eq!(settings.peers["tracking"].tls, Some(settings.server.tls.for_calling()));
}

#[test]
fn who_only_migrates_needs_a_database_and_nothing_else() {
    let environment = [("HAETAE__DATABASE__URL".to_owned(), "postgres://owner@db/intake".to_owned())];
    let alone = database_alone(None, environment).unwrap();
    assert_eq!(alone.url.expose(), "postgres://owner@db/intake");
    assert_eq!(alone.migrate, MigrateWhen::Start);
    assert!(database_alone(None, []).unwrap_err().to_string().contains("database: missing"));
}

#[test]
fn a_service_may_leave_its_tables_to_others() {
    let settings = load(FILE, &[("HAETAE__DATABASE__MIGRATE", "check")]).unwrap();
    assert_eq!(settings.database.unwrap().migrate, MigrateWhen::Check);
    assert!(faults(FILE, &[("HAETAE__DATABASE__MIGRATE", "never")]).contains("never"));
}
