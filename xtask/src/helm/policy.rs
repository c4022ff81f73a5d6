//! What every object must keep to, whichever values it was rendered from: Kubernetes' restricted pod security and what a
//! cluster's operators ask beyond it. Pure: objects in, findings out.

mod pods;
mod secrets;
mod whole;

use super::manifest::Object;

/// Everything wrong with these objects, which are applied together.
pub(crate) fn judge(objects: &[Object]) -> Vec<String> {
    let mut findings = Vec::new();
    for object in objects {
        if let Some(pod) = object.pod() {
            findings.extend(pods::findings(&pod, objects).into_iter().map(|what| format!("{}: {what}", pod.title())));
        }
        findings.extend(secrets::findings(object).into_iter().map(|what| format!("{}: {what}", object.title())));
    }
    findings.extend(whole::findings(objects));
    findings
}

#[cfg(test)]
mod tests;
