//! The chart on disk, linted and rendered by the real helm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::manifest::{self, Object};
use crate::{
    process::{Ended, run},
    report::Report,
};

/// The release and the namespace that everything is rendered for.
pub(crate) const RELEASE: &str = "haetae";

/// What refused values are laid over, unless they name another file with `# over: FILE`.
const REFUSED_OVER: &str = "values-ha.yaml";

/// The chart, and the helm that renders it.
pub(crate) struct Chart<'a> {
    pub(crate) folder: PathBuf,
    helm: &'a Path,
    /// Helm's caches and settings, so that it neither reads nor leaves any of the user's.
    home: TempDir,
}

/// What one values file renders to.
pub(crate) struct Rendered {
    /// The file's name without its ending, such as `values-ha`.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) objects: Vec<Object>,
}

impl<'a> Chart<'a> {
    pub(crate) fn open(folder: PathBuf, helm: &'a Path) -> Result<Self> {
        if !folder.join("Chart.yaml").is_file() {
            bail!("{} is no chart", folder.display());
        }
        Ok(Self { folder, helm, home: tempfile::tempdir()? })
    }

    /// Every `values-*.yaml`. Plain `values.yaml` holds defaults only; what it lacks is among the refusals.
    pub(crate) fn values(&self) -> Result<Vec<PathBuf>> {
        let mut files = files(&self.folder, "yaml")?;
        files.retain(|file| stem(file).starts_with("values-"));
        if files.is_empty() {
            bail!("{} has no values-*.yaml", self.folder.display());
        }
        Ok(files)
    }

    pub(crate) fn lint(&self, values: &Path) -> Result<Ended> {
        run(self.helm().arg("lint").arg("--strict").arg(&self.folder).arg("--values").arg(values))
    }

    /// Renders for a version of Kubernetes.
    pub(crate) fn render(&self, values: &Path, kubernetes: &str) -> Result<Rendered> {
        let ended = self.template(&[values], kubernetes)?;
        if !ended.ok {
            bail!("{}", ended.stderr.trim());
        }
        let objects = manifest::parse(&ended.stdout).context("helm's output")?;
        Ok(Rendered { name: stem(values).to_owned(), text: ended.stdout, objects })
    }

    fn template(&self, values: &[&Path], kubernetes: &str) -> Result<Ended> {
        let mut helm = self.helm();
        helm.args(["template", RELEASE, "--namespace", RELEASE, "--kube-version", kubernetes]).arg(&self.folder);
        for values in values {
            helm.arg("--values").arg(values);
        }
        run(&mut helm)
    }

    /// Values that contradict themselves must be refused, with the sentence that they name.
    pub(crate) fn refusals(&self, kubernetes: &str, report: &mut Report) -> Result<()> {
        let cases = files(&self.folder.join("tests/refused"), "yaml")?;
        report.count("refusals", cases.len());
        if cases.is_empty() {
            report.fail("helm/haetae/tests/refused holds no values that must be refused");
        }
        let mut heard = String::new();
        for case in cases {
            let name = format!("refused/{}", stem(&case));
            let text = fs::read_to_string(&case)?;
            let mark = |mark: &str| text.lines().find_map(|line| Some(line.strip_prefix(mark)?.trim()));
            let Some(sentence) = mark("# refused:").filter(|sentence| !sentence.is_empty()) else {
                report.fail(format!("{name}: does not begin with \"# refused: SENTENCE\""));
                continue;
            };
            let over = mark("# over:").unwrap_or(REFUSED_OVER);
            let over = (over != "nothing").then(|| self.folder.join(over));
            let values: Vec<&Path> = over.iter().map(PathBuf::as_path).chain([case.as_path()]).collect();
            let ended = self.template(&values, kubernetes)?;
            if ended.ok {
                report.fail(format!("{name}: was rendered, but must be refused: {sentence}"));
                continue;
            }
            heard.push_str(&ended.said());
            if !ended.said().contains(&sentence.split_whitespace().collect::<Vec<_>>().join(" ")) {
                report.fail(format!("{name}: was refused, but not with \"{sentence}\": {}", ended.stderr.trim()));
            }
        }
        for template in files(&self.folder.join("templates"), "tpl")? {
            for sentence in sentences(&fs::read_to_string(&template)?) {
                if !heard.contains(&fixed_part(&sentence)) {
                    report.fail(format!("no values in tests/refused are refused with \"{sentence}\""));
                }
            }
        }
        Ok(())
    }

    fn helm(&self) -> Command {
        let mut helm = Command::new(self.helm);
        for place in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(place, self.home.path());
        }
        // No cluster is asked for anything.
        helm.env("KUBECONFIG", "/dev/null");
        helm
    }
}

/// The files of a folder with this ending, in order; none where there is no folder.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name without its ending.
pub(crate) fn stem(file: &Path) -> &str {
    file.file_stem().and_then(|name| name.to_str()).unwrap_or_default()
}

/// What a template fails with, as it is written there.
fn sentences(template: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for opening in ["fail \"", "fail (printf \""] {
        for (place, _) in template.match_indices(opening) {
            let rest = &template[place + opening.len()..];
            let end = rest.match_indices('"').map(|(end, _)| end).find(|end| !rest[..*end].ends_with('\\'));
            sentences.extend(end.map(|end| rest[..end].replace("\\\"", "\"")));
        }
    }
    sentences
}

/// The longest part of a sentence that holds nothing to be filled in.
fn fixed_part(sentence: &str) -> String {
    let parts = sentence.split("%s").flat_map(|part| part.split("%d"));
    let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
    longest.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_fails_with_is_found() {
        let template = r#"{{ fail "Whose \"tokens\"?" }} {{ fail (printf "%s: too long by %d characters." .name 3) }}"#;
        let found = sentences(template);
        assert_eq!(found, ["Whose \"tokens\"?", "%s: too long by %d characters."]);
        assert_eq!(fixed_part(&found[1]), ": too long by");
    }
}
