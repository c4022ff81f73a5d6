//! A container's mounted files, laid out in a folder.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::helm::manifest::{Object, Pod, list, object, text};

/// What a certificate's Secret and the SPIFFE driver hold.
const CERTIFICATE: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// The files of one container.
pub(super) struct Files {
    /// The folder that stands for the container's root.
    pub(super) root: PathBuf,
    mounts: BTreeSet<String>,
    rendered: BTreeSet<PathBuf>,
    named: BTreeSet<String>,
    /// Mounts whose content is not known here: whatever is named below them may be there.
    open: Vec<String>,
}

impl Files {
    pub(super) fn lay_out(root: &Path, pod: &Pod<'_>, container: &Value, objects: &[Object]) -> Result<Self> {
        let mut files = Self {
            root: root.to_owned(),
            mounts: BTreeSet::new(),
            rendered: BTreeSet::new(),
            named: BTreeSet::new(),
            open: Vec::new(),
        };
        for mount in list(container, "/volumeMounts") {
            let volume = list(pod.spec(), "/volumes").iter().find(|volume| volume["name"] == mount["name"]);
            let Some(volume) = volume else { continue };
            let at = text(mount, "/mountPath").trim_end_matches('/');
            let sources = list(volume, "/projected/sources").iter().chain([volume]);
            if volume.get("emptyDir").is_some() {
                continue;
            }
            files.mounts.insert(at.to_owned());
            for source in sources {
                files.mount(source, at, objects)?;
            }
            if volume.get("csi").is_some() {
                for name in CERTIFICATE {
                    files.write(&format!("{at}/{name}"), "", false)?;
                }
            }
        }
        files.rewrite()?;
        Ok(files)
    }

    fn mount(&mut self, source: &Value, at: &str, objects: &[Object]) -> Result<()> {
        for (kind, name) in
            [("configMap", "/configMap/name"), ("secret", "/secret/secretName"), ("secret", "/secret/name")]
        {
            let name = text(source, name);
            if name.is_empty() {
                continue;
            }
            let map = objects
                .iter()
                .find(|object| kind == "configMap" && object.kind() == "ConfigMap" && object.name() == name);
            let data = map.map(|map| object(&map.0, "/data"));
            let content = |key: &str| data.and_then(|data| data.get(key)).and_then(Value::as_str);
            let items = list(source, &format!("/{kind}/items"));
            for item in items {
                let (key, path) = (text(item, "/key"), text(item, "/path"));
                let place = format!("{at}/{path}");
                match (content(key), data) {
                    (Some(content), _) => self.write(&place, content, true)?,
                    (None, Some(_)) => {
                        self.named.insert(format!("{place} (no key {key} in the ConfigMap {name})"));
                    }
                    (None, None) => self.write(&place, "", false)?,
                }
            }
            if items.is_empty() {
                match data {
                    Some(data) => {
                        for (key, content) in data {
                            self.write(&format!("{at}/{key}"), content.as_str().unwrap_or_default(), true)?;
                        }
                    }
                    None => self.open.push(format!("{at}/")),
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, place: &str, content: &str, rendered: bool) -> Result<()> {
        let file = self.on_disk(place);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        if rendered {
            self.rendered.insert(file);
        }
        Ok(())
    }

    /// Has the files name one another as they lie here, and remembers what they name.
    fn rewrite(&mut self) -> Result<()> {
        for file in self.rendered.clone() {
            if file.extension().is_some_and(|ending| ending == "toml") {
                let content = fs::read_to_string(&file)?;
                for path in self.paths(&content) {
                    let open = self.open.iter().any(|open| path.starts_with(open.as_str()));
                    if open && !self.on_disk(&path).exists() {
                        self.write(&path, "", false)?;
                    }
                    self.named.insert(path);
                }
                fs::write(&file, self.in_text(&content))?;
            }
        }
        Ok(())
    }

    /// Where a path of the container lies.
    pub(super) fn on_disk(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text with the container's paths replaced by where they lie.
    pub(super) fn in_text(&self, text: &str) -> String {
        self.mounts.iter().fold(text.to_owned(), |text, mount| {
            text.replace(&format!("{mount}/"), &format!("{}{mount}/", self.root.display()))
        })
    }

    /// Whether the file's content is the chart's.
    pub(super) fn is_rendered(&self, file: &Path) -> bool {
        self.rendered.contains(file)
    }

    /// Files that are named and will not be there.
    pub(super) fn missing(&self) -> Vec<String> {
        let missing = self.named.iter().filter(|path| !self.on_disk(path).exists());
        missing.map(|path| format!("names {path}, which is not mounted")).collect()
    }

    /// Every path below a mount that stands in a text.
    fn paths(&self, text: &str) -> Vec<String> {
        let mut paths = Vec::new();
        for mount in &self.mounts {
            let prefix = format!("{mount}/");
            for (place, _) in text.match_indices(&prefix) {
                let path = text[place..].split(|c: char| "\"'&, \n}]".contains(c)).next().unwrap_or_default();
                paths.push(path.to_owned());
            }
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(config: &str) -> Vec<Object> {
        vec![
            Object(json!({
                "kind": "ConfigMap", "metadata": { "name": "freeze" }, "data": { "haetae.toml": config },
            })),
            Object(json!({
                "kind": "Pod", "metadata": { "name": "freeze" },
                "spec": {
                    "containers": [{ "volumeMounts": [
                        { "name": "haetae", "mountPath": "/etc/haetae" },
                        { "name": "tmp", "mountPath": "/tmp" },
                    ] }],
                    "volumes": [{ "name": "tmp", "emptyDir": {} }, { "name": "haetae", "projected": { "sources": [
                        { "configMap": { "name": "freeze" } },
                        { "secret": { "name": "keys", "items": [{ "key": "log.pem", "path": "keys/log.pem" }] } },
                    ] } }],
                },
            })),
        ]
    }

    fn laid_out(config: &str, folder: &Path) -> Files {
        let objects = objects(config);
        let pod = objects[1].pod().unwrap();
        let container = pod.containers().next().unwrap();
        Files::lay_out(folder, &pod, container, &objects).unwrap()
    }

    #[test]
    fn a_configuration_names_its_files_where_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let files = laid_out("key = \"/etc/haetae/keys/log.pem\"", folder.path());
        let text = fs::read_to_string(files.on_disk("/etc/haetae/haetae.toml")).unwrap();
        assert_eq!(text, format!("key = \"{}\"", folder.path().join("etc/haetae/keys/log.pem").display()));
        assert_eq!(files.missing(), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_no_mount_brings_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let files = laid_out("key = \"/etc/haetae/keys/freeze.pem\"", folder.path());
        assert_eq!(files.missing(), ["names /etc/haetae/keys/freeze.pem, which is not mounted"]);
    }
}
