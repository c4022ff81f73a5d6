//! Kubernetes objects as they would be applied, and the pods that come of them.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Object(pub(crate) Value);

/// Reads a stream of YAML documents. A key that is there twice is an error: Kubernetes would take the last in silence.
pub(crate) fn parse(text: &str) -> Result<Vec<Object>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| anyhow::anyhow!("{error}"))?;
    let objects = documents.into_iter().filter(|document| !document.is_null());
    objects
        .map(|document| {
            let object = Object(document);
            if object.kind().is_empty() || object.name().is_empty() || object.api_version().is_empty() {
                bail!("a document has no apiVersion, kind or name: {:.200}", object.0.to_string());
            }
            Ok(object)
        })
        .collect()
}

impl Object {
    pub(crate) fn api_version(&self) -> &str {
        text(&self.0, "/apiVersion")
    }

    pub(crate) fn kind(&self) -> &str {
        text(&self.0, "/kind")
    }

    pub(crate) fn name(&self) -> &str {
        text(&self.0, "/metadata/name")
    }

    /// `Kind/name`.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// Defined by Kubernetes itself, so that its schema is known; other kinds come with operators.
    pub(crate) fn is_built_in(&self) -> bool {
        match self.api_version().split_once('/') {
            None => true,
            Some((group, _)) => !group.contains('.') || group.ends_with(".k8s.io"),
        }
    }

    /// Anything in it, by JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        at(&self.0, pointer)
    }

    /// The pods that it makes, if it makes any.
    pub(crate) fn pod(&self) -> Option<Pod<'_>> {
        let template = match self.kind() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => self.at("/spec/template"),
            "CronJob" => self.at("/spec/jobTemplate/spec/template"),
            "Pod" => &self.0,
            _ => return None,
        };
        Some(Pod { owner: self, template })
    }
}

/// The pods of one object; they are all alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) owner: &'a Object,
    template: &'a Value,
}

impl<'a> Pod<'a> {
    pub(crate) fn labels(&self) -> &'a Map<String, Value> {
        object(self.template, "/metadata/labels")
    }

    pub(crate) fn label(&self, name: &str) -> &'a str {
        self.labels().get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn spec(&self) -> &'a Value {
        at(self.template, "/spec")
    }

    /// Those that go on running, and those that come before them.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec();
        list(spec, "/containers").iter().chain(list(spec, "/initContainers"))
    }

    /// Runs to its end rather than for ever.
    pub(crate) fn is_task(&self) -> bool {
        matches!(self.owner.kind(), "Job" | "CronJob")
            || (self.owner.kind() == "Pod" && text(self.spec(), "/restartPolicy") == "Never")
    }

    /// `Kind/name` of what makes it.
    pub(crate) fn title(&self) -> String {
        self.owner.title()
    }
}

/// The fewest and the most replicas of a workload: its autoscaler's, else its own.
pub(crate) fn replicas(workload: &Object, all: &[Object]) -> (u64, u64) {
    let scaler = all.iter().find(|object| {
        object.kind() == "HorizontalPodAutoscaler"
            && text(&object.0, "/spec/scaleTargetRef/kind") == workload.kind()
            && text(&object.0, "/spec/scaleTargetRef/name") == workload.name()
    });
    let own = workload.at("/spec/replicas").as_u64().unwrap_or(1);
    match scaler {
        Some(scaler) => {
            let least = scaler.at("/spec/minReplicas").as_u64().unwrap_or(1);
            (least, scaler.at("/spec/maxReplicas").as_u64().unwrap_or(least))
        }
        None => (own, own),
    }
}

/// Whether a label selector takes these labels. An absent or empty selector takes everything, as in policies.
pub(crate) fn selects(selector: &Value, labels: &Map<String, Value>) -> bool {
    let exact = object(selector, "/matchLabels").iter().all(|(name, value)| labels.get(name) == Some(value));
    exact
        && list(selector, "/matchExpressions").iter().all(|expression| {
            let label = labels.get(text(expression, "/key"));
            let listed = label.is_some_and(|label| list(expression, "/values").contains(label));
            match text(expression, "/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

/// Null where there is nothing.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// Empty where there is no text.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_default()
}

/// Empty where there is no list.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}

/// Empty where there is no table.
pub(crate) fn object<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    at(value, pointer).as_object().unwrap_or(&EMPTY)
}

/// Reads a file that holds one YAML document.
pub(crate) fn document(file: &std::path::Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_that_hold_only_comments_are_passed_over() {
        let objects =
            parse("---\n# Source: a\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: intake\n").unwrap();
        assert_eq!(objects.iter().map(Object::title).collect::<Vec<_>>(), ["Service/intake"]);
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error() {
        assert!(parse("apiVersion: v1\nkind: Service\nkind: Pod\nmetadata: {name: a}\n").is_err());
    }

    #[test]
    fn kinds_of_operators_are_not_kubernetes_own() {
        let object = |version: &str| Object(json!({ "apiVersion": version, "kind": "A", "metadata": { "name": "a" } }));
        for own in ["v1", "apps/v1", "networking.k8s.io/v1"] {
            assert!(object(own).is_built_in(), "{own}");
        }
        assert!(!object("cert-manager.io/v1").is_built_in());
    }

    #[test]
    fn selectors_select_as_kubernetes_does() {
        let labels = json!({ "app": "haetae", "part": "freeze" });
        let labels = labels.as_object().unwrap();
        let cases = [
            (json!({}), true),
            (json!({ "matchLabels": { "app": "haetae" } }), true),
            (json!({ "matchLabels": { "app": "other" } }), false),
            (json!({ "matchExpressions": [{ "key": "part", "operator": "In", "values": ["freeze"] }] }), true),
            (json!({ "matchExpressions": [{ "key": "part", "operator": "NotIn", "values": ["freeze"] }] }), false),
            (json!({ "matchExpressions": [{ "key": "exchange", "operator": "DoesNotExist" }] }), true),
            (json!({ "matchExpressions": [{ "key": "exchange", "operator": "Exists" }] }), false),
        ];
        for (selector, expected) in cases {
            assert_eq!(selects(&selector, labels), expected, "{selector}");
        }
    }

    #[test]
    fn an_autoscaler_decides_on_replicas() {
        let deployment =
            Object(json!({ "kind": "Deployment", "metadata": { "name": "freeze" }, "spec": { "replicas": 2 } }));
        assert_eq!(replicas(&deployment, &[]), (2, 2));
        let scaler = Object(json!({
            "kind": "HorizontalPodAutoscaler",
            "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "freeze" }, "minReplicas": 3, "maxReplicas": 6 },
        }));
        assert_eq!(replicas(&deployment, &[scaler]), (3, 6));
    }
}
