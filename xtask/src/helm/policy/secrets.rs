//! No secret lies in what is rendered: whoever may read a release or a repository may read all of it.

use serde_json::Value;

use crate::helm::manifest::{Object, list, object, text};

/// Words in names of variables whose values are secrets.
const SECRET_WORDS: [&str; 6] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE"];

pub(super) fn findings(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    if object.kind() == "Secret" {
        for part in ["data", "stringData"] {
            if !self::object(&object.0, &format!("/{part}")).is_empty() {
                found.push(format!("holds {part}"));
            }
        }
    }
    if let Some(pod) = object.pod() {
        for container in pod.containers() {
            for variable in list(container, "/env") {
                let name = text(variable, "/name");
                let upper = name.to_uppercase();
                let value = text(variable, "/value");
                // The place of a secret is none.
                if !value.is_empty() && !value.starts_with('/') && SECRET_WORDS.iter().any(|word| upper.contains(word))
                {
                    found.push(format!("container {}: {name} holds its secret itself", text(container, "/name")));
                }
            }
        }
    }
    walk(&object.0, &mut |value| {
        if value.contains("PRIVATE KEY-----") {
            found.push("holds a private key".to_owned());
        }
        if has_password(value) {
            found.push("holds a URL with a password".to_owned());
        }
    });
    found.dedup();
    found
}

fn walk(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        Value::Object(table) => table.values().for_each(|item| walk(item, look)),
        _ => {}
    }
}

/// `scheme://user:password@host` anywhere in a text. `$(NAME)` stands for a variable that Kubernetes puts in.
fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, found)| {
        let rest = &text[at + found.len()..];
        let authority = rest.split(['/', '?', '#', '"', '\'', ' ', '\n']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
        password.is_some_and(|password| !password.is_empty() && !password.starts_with("$("))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        assert!(has_password(r#"url = "postgres://haetae:hunter2@db:5432/haetae""#));
        assert!(!has_password(r#"url = "postgres://haetae@db:5432/haetae""#));
        assert!(!has_password("https://intake.haetae.svc:8443, mail: a@b"));
        assert!(!has_password("redis://:$(PASSWORD)@redis:6379"));
    }
}
