//! Rendered configurations, read by the programs that they are for. Each pod's mounts are laid out in a folder — its
//! ConfigMaps as rendered, files of Secrets as empty ones — and the program's own `check-config` reads from there.

mod files;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use haetae_core::LegalRules;
use haetae_wire::registry::Registry;
use serde_json::Value;

use self::files::Files;
use super::{
    chart::Rendered,
    manifest::{Object, Pod, list, replicas, text},
    network::ports,
};
use crate::{process::run, report::Report};

/// The exit code of a program whose configuration is at fault.
const MISUSED: i32 = 2;

/// Checks every program of a release.
pub(crate) fn check(release: &Rendered, programs: &Path, report: &mut Report) -> Result<()> {
    for pod in release.objects.iter().filter_map(Object::pod) {
        for container in list(pod.spec(), "/containers") {
            let program = list(container, "/command").first().and_then(Value::as_str).unwrap_or_default();
            let binary = programs.join(program);
            if program.is_empty() || !binary.is_file() {
                continue;
            }
            let place = format!("{}: {}", release.name, pod.title());
            let folder = tempfile::tempdir()?;
            let files = Files::lay_out(folder.path(), &pod, container, &release.objects)?;
            let case = Case { pod: &pod, container, files: &files, binary: &binary, objects: &release.objects };
            let found = if program == "haetae" {
                case.profile(report)
            } else if case.arguments().first().is_some_and(|first| first == "migrate") {
                case.migration(report)?
            } else {
                case.service(report)?
            };
            report.fail_all(&place, found);
        }
    }
    Ok(())
}

/// One container.
struct Case<'a> {
    pod: &'a Pod<'a>,
    container: &'a Value,
    files: &'a Files,
    binary: &'a Path,
    objects: &'a [Object],
}

impl Case<'_> {
    fn arguments(&self) -> Vec<String> {
        let command = list(self.container, "/command").iter().skip(1);
        command.chain(list(self.container, "/args")).filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The file that an option names, as laid out.
    fn file_of(&self, option: &str) -> Option<PathBuf> {
        let arguments = self.arguments();
        let place = arguments.iter().position(|argument| argument == option)?;
        Some(self.files.on_disk(arguments.get(place + 1)?))
    }

    fn service(&self, report: &mut Report) -> Result<Vec<String>> {
        let Some(config) = self.file_of("--config") else { return Ok(vec!["is given no --config".to_owned()]) };
        report.count("configurations read by their programs", 1);
        let ended = run(self.command()?.arg("check-config").arg("--config").arg(&config))?;
        if !ended.ok {
            return Ok(vec![format!("refuses its configuration: {}", self.in_pod(ended.stderr.trim()))]);
        }
        let effective: toml::Value = toml::from_str(&ended.stdout).context("what check-config prints")?;
        let mut found = self.files.missing();
        found.extend(self.against_the_pod(&effective));
        found.extend(self.against_the_service(&effective));
        Ok(found)
    }

    /// A migration cannot connect here; what matters is that it comes that far.
    fn migration(&self, report: &mut Report) -> Result<Vec<String>> {
        let Some(config) = self.file_of("--config") else { return Ok(vec!["is given no --config".to_owned()]) };
        report.count("configurations read by their programs", 1);
        let text = fs::read_to_string(&config).context("the configuration of a migration")?;
        fs::write(&config, nowhere(&text))?;
        let arguments: Vec<_> = self.arguments().iter().map(|argument| self.files.in_text(argument)).collect();
        let ended = run(self.command()?.args(arguments))?;
        let mut found = self.files.missing();
        if ended.ok || ended.code == Some(MISUSED) {
            found.push(format!("refuses its configuration: {}", self.in_pod(&ended.said())));
        }
        Ok(found)
    }

    /// The command line reads its profile when it is run; here it is read as TOML, and its files are looked for.
    fn profile(&self, report: &mut Report) -> Vec<String> {
        report.count("profiles of the command line", 1);
        let read = self.file_of("--profile").map(fs::read_to_string);
        let mut found = self.files.missing();
        match read {
            Some(Ok(text)) => found.extend(toml::from_str::<toml::Table>(&text).err().map(|error| error.to_string())),
            Some(Err(error)) => found.push(format!("the profile: {error}")),
            None => found.push("is given no --profile".to_owned()),
        }
        found
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.binary);
        command.env_clear().envs(self.environment());
        Ok(command)
    }

    /// As Kubernetes would set it. What comes from Secrets is made up.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for variable in list(self.container, "/env") {
            let name = text(variable, "/name");
            let value = match variable.get("value").and_then(Value::as_str) {
                Some(value) => expand(value, &environment),
                None if name.ends_with("WS") => "ws://node.example:8546".to_owned(),
                None if ["HTTP", "API", "SOLIDITY"].iter().any(|end| name.ends_with(end)) => {
                    "http://node.example:8545".to_owned()
                }
                None if name.contains("REDIS") => "redis://redis.example:6379".to_owned(),
                None => "made-up".to_owned(),
            };
            environment.insert(name.to_owned(), self.files.in_text(&value));
        }
        environment
    }

    /// Ports, drain times and replicas as the program understood them.
    fn against_the_pod(&self, effective: &toml::Value) -> Vec<String> {
        let mut found = Vec::new();
        let at = |path: &[&str]| path.iter().try_fold(effective, |value, key| value.get(key));
        let number = |path: &[&str]| at(path).and_then(toml::Value::as_integer).unwrap_or_default();
        for (key, name) in [("listen", "grpc"), ("probe_listen", "probes")] {
            let listens = at(&["server", key]).and_then(toml::Value::as_str).unwrap_or_default();
            let port = listens.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
            if !ports(self.pod).any(|(known, number)| known == name && Some(number) == port) {
                found.push(format!("listens at {listens}, which is not its port {name}"));
            }
            if listens.starts_with("127.") || listens.starts_with("[::1]") {
                found.push(format!("listens at {listens}, where nobody reaches it"));
            }
        }
        let drain = number(&["server", "drain", "grace_ms"]) + number(&["server", "drain", "limit_ms"]);
        let patience = self.pod.spec()["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        if patience * 1_000 <= drain {
            found.push(format!("is killed after {patience} s, but drains for {drain} ms"));
        }
        let (_, most) = replicas(self.pod.owner, self.objects);
        let told = number(&["server", "limits", "replicas"]);
        if u64::try_from(told).ok() != Some(most) {
            found.push(format!("shares its budgets with {told} replicas, but there may be {most}"));
        }
        found
    }

    /// What the program reads only when it starts: the registry and the legal rules, where they are rendered.
    fn against_the_service(&self, effective: &toml::Value) -> Vec<String> {
        let mut found = Vec::new();
        let named = |key: &str| effective.get("service")?.get(key)?.as_str().map(PathBuf::from);
        if let Some(registry) = named("registry").filter(|file| self.files.is_rendered(file))
            && let Err(error) = Registry::load(&registry)
        {
            found.push(format!("the registry: {error}"));
        }
        if let Some(rules) = named("rules").filter(|file| self.files.is_rendered(file)) {
            let text = fs::read_to_string(&rules).unwrap_or_default();
            let faults = LegalRules::parse(&text).err().unwrap_or_default();
            found.extend(faults.into_iter().map(|fault| format!("the legal rules: {fault}")));
        }
        found
    }

    /// Paths as they are in the pod.
    fn in_pod(&self, text: &str) -> String {
        text.replace(&self.files.root.display().to_string(), "")
    }
}

/// `$(NAME)` of variables that came before.
fn expand(value: &str, environment: &BTreeMap<String, String>) -> String {
    environment.iter().fold(value.to_owned(), |value, (name, content)| value.replace(&format!("$({name})"), content))
}

/// The same database at an address of this machine where nothing listens.
fn nowhere(config: &str) -> String {
    let Some((before, rest)) = config.split_once('@') else { return config.to_owned() };
    let Some((_, after)) = rest.split_once('/') else { return config.to_owned() };
    format!("{before}@127.0.0.1:1/{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_kubernetes_does() {
        let environment = BTreeMap::from([("NODE".to_owned(), "http://node".to_owned())]);
        assert_eq!(expand("{ http = \"$(NODE)\" }", &environment), "{ http = \"http://node\" }");
    }

    #[test]
    fn a_migration_is_sent_nowhere() {
        let config = "url = \"postgres://owner@db.haetae:5432/haetae?sslmode=require\"";
        assert_eq!(nowhere(config), "url = \"postgres://owner@127.0.0.1:1/haetae?sslmode=require\"");
    }
}
