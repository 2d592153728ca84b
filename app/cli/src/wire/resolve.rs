//! Names where ids are expected.

use super::{Client, Limit, Send, fetch};
use crate::failure::Failure;
use crate::nouns::Noun;
use serde_json::Value;

fn looks_like_an_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':'))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn text_of<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

/// The object with this id, or with this name when no id matches.
pub(crate) fn object_of(client: &Client, noun: &Noun, text: &str) -> Result<Value, Failure> {
    let missing = || Failure::NotFound { kind: noun.singular, text: text.to_owned() };
    if looks_like_an_id(text) && noun.has_get {
        match client.get(&Send::to(noun.path, &[text])) {
            Err(failure) if failure.status() == Some(404) && noun.named => {}
            other => return other,
        }
    } else if !noun.named && noun.has_get {
        return Err(missing());
    }
    // The filter is a substring over several members; servers that don't know it send every row, which is as good.
    let mut query = Vec::new();
    if noun.searchable && text.chars().count() >= 2 {
        query.push(("q".to_owned(), text.to_owned()));
    }
    let rows = fetch(client, noun.path, &query, Limit::None)?.rows;
    choose(noun.singular, text, rows)
}

fn choose(kind: &'static str, text: &str, rows: Vec<Value>) -> Result<Value, Failure> {
    let mut found: Vec<Value> =
        rows.into_iter().filter(|row| text_of(row, "id") == Some(text) || text_of(row, "name") == Some(text)).collect();
    if let Some(at) = found.iter().position(|row| text_of(row, "id") == Some(text)) {
        return Ok(found.swap_remove(at));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::NotFound { kind, text: text.to_owned() }),
        _ => {
            let candidates: Vec<String> =
                found.iter().filter_map(|row| text_of(row, "id")).map(ToOwned::to_owned).collect();
            Err(Failure::Conflict {
                message: format!("several objects of kind {kind} are named {text}: {}", candidates.join(", ")),
                candidates,
            })
        }
    }
}

/// The id of that object. A caller who may use an object but not read its kind writes the id, which is taken as it is.
pub(crate) fn id_of(client: &Client, noun: &Noun, text: &str) -> Result<String, Failure> {
    match object_of(client, noun, text) {
        Ok(object) => text_of(&object, "id")
            .map(ToOwned::to_owned)
            .ok_or_else(|| Failure::Network(format!("the server's answer about {text} has no id"))),
        Err(failure) if failure.status() == Some(403) && looks_like_an_id(text) => Ok(text.to_owned()),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn id_wins_over_name_and_one_name_is_enough() {
        let rows = vec![json!({"id": "t-1", "name": "web"}), json!({"id": "web", "name": "other"})];
        assert_eq!(choose("team", "web", rows.clone()).unwrap()["name"], "other");
        assert_eq!(choose("team", "other", rows.clone()).unwrap()["id"], "web");
        assert_eq!(choose("team", "we", rows).expect_err("a part of a name is no name").exit_code(), 7);
    }

    #[test]
    fn name_of_several_objects_lists_them() {
        let rows = vec![json!({"id": "t-1", "name": "web"}), json!({"id": "t-2", "name": "web"})];
        let failure = choose("team", "web", rows).expect_err("ambiguous");
        assert_eq!(failure.exit_code(), 8);
        assert!(failure.to_string().contains("t-1, t-2"), "{failure}");
    }

    #[test]
    fn ids_have_a_shape() {
        assert!(looks_like_an_id("cert-01HX"));
        for other in ["", "..", "a b", "a/b", "ä"] {
            assert!(!looks_like_an_id(other), "{other}");
        }
    }
}
