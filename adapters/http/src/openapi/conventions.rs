//! What holds for every operation and schema of the document, so that generated clients have it as parameters and types.

use serde_json::{Map, Value, json};

/// Statuses of success, described where an operation does not do so itself.
const SUCCESS: &[(&str, &str)] = &[
    ("200", "Done."),
    ("201", "Created."),
    ("202", "Accepted; the work goes on after the response."),
    ("204", "Done; there is nothing to return."),
];

/// Completes `document`.
pub(super) fn apply(document: &mut Value) {
    if let Some(paths) = document["paths"].as_object_mut() {
        let validated: Vec<String> = paths
            .iter()
            .filter(|(_, item)| !item["get"]["responses"]["304"].is_null())
            .map(|(path, _)| path.clone())
            .collect();
        for (path, item) in paths {
            let of_object = validated.contains(&format!("{path}/{{id}}"));
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                complete(path, method, of_object, operation);
            }
        }
    }
    name_pages(document);
    open_objects(document);
}

fn complete(path: &str, method: &str, creates_validated: bool, operation: &mut Value) {
    for (status, text) in SUCCESS {
        if let Some(response) = operation["responses"].get_mut(status)
            && response["description"].as_str().is_none_or(str::is_empty)
        {
            response["description"] = json!(text);
        }
    }
    if method == "post" && path.starts_with("/api/v1/") {
        add_header_parameter(
            operation,
            "Idempotency-Key",
            &json!({ "type": "string", "pattern": "^[!-~]+$", "maxLength": 255, "minLength": 1 }),
            "A request repeated with the same key and body changes nothing; its answer is that of the first.",
        );
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if parameter["name"] == "If-Match" {
            parameter["schema"] = json!({ "type": "string", "pattern": r#"^(\*|(W/)?"[0-9]{1,18}-[0-9]{1,18}")$"# });
        }
    }
    let conditional = !operation["responses"]["304"].is_null();
    if conditional {
        add_header_parameter(
            operation,
            "If-None-Match",
            &json!({ "type": "string" }),
            "An ETag: 304 when it still holds.",
        );
    }
    let guarded = method == "put"
        && operation["parameters"].as_array().is_some_and(|list| list.iter().any(|one| one["name"] == "If-Match"));
    let validated: &[&str] = match method {
        "get" if conditional => &["200", "304"],
        "put" if guarded => &["200"],
        "post" if creates_validated => &["201"],
        _ => &[],
    };
    for status in validated {
        if let Some(response) = operation["responses"].get_mut(status) {
            response["headers"]["ETag"] = json!({ "description": "The validator for If-None-Match and If-Match.", "schema": { "type": "string" } });
        }
    }
}

fn add_header_parameter(operation: &mut Value, name: &str, schema: &Value, text: &str) {
    let parameter = json!({ "name": name, "in": "header", "required": false, "schema": schema, "description": text });
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(list) => list.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}

/// `PageBody_Team` becomes `TeamPage`, and its rows become references to `Team` instead of copies of it.
fn name_pages(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let pages: Vec<String> =
        schemas.keys().filter_map(|name| name.strip_prefix("PageBody_")).map(str::to_owned).collect();
    for row in &pages {
        if let Some(mut page) = schemas.remove(&format!("PageBody_{row}")) {
            page["properties"]["data"]["items"] = json!({ "$ref": format!("#/components/schemas/{row}") });
            schemas.insert(format!("{row}Page"), page);
        }
    }
    visit(document, &mut |map| {
        if let Some(Value::String(target)) = map.get_mut("$ref")
            && let Some(row) = target.strip_prefix("#/components/schemas/PageBody_")
        {
            *target = format!("#/components/schemas/{row}Page");
        }
    });
}

/// An object without declared members may have any; generators read the bare form as "no members at all".
fn open_objects(document: &mut Value) {
    visit(&mut document["components"]["schemas"], &mut |map| {
        let object = match map.get("type") {
            Some(Value::String(one)) => one == "object",
            Some(Value::Array(several)) => several.iter().any(|one| one == "object"),
            _ => false,
        };
        if object && !map.contains_key("properties") && !map.contains_key("additionalProperties") {
            map.insert("additionalProperties".to_owned(), Value::Bool(true));
        }
    });
}

fn visit(value: &mut Value, see: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            see(map);
            map.values_mut().for_each(|inner| visit(inner, see));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| visit(inner, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_str(&crate::openapi::document(&crate::routes::all())).expect("JSON")
    }

    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().expect("paths");
        let pairs = paths.iter().flat_map(|(path, item)| {
            let operations = item.as_object().expect("operations").iter();
            operations.map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
        });
        pairs.collect()
    }

    #[test]
    fn every_operation_has_a_tag_and_every_response_a_description() {
        for (name, operation) in operations(&document()) {
            assert!(operation.get("parameters").is_none_or(Value::is_array), "{name} lists its parameters");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name} has one tag");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            }
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let mut document = document();
        let schemas = document["components"]["schemas"].as_object().expect("schemas").clone();
        let mut references = 0;
        visit(&mut document, &mut |map| {
            if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                let name = target.strip_prefix("#/components/schemas/").expect("a schema");
                assert!(schemas.contains_key(name), "{target}");
                references += 1;
            }
        });
        assert!(references > schemas.len());
    }

    #[test]
    fn a_page_refers_to_its_rows() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["TeamPage"]["properties"]["data"]["items"]["$ref"], "#/components/schemas/Team");
        assert!(schemas.get("PageBody_Team").is_none());
        let answer = &document["paths"]["/api/v1/teams"]["get"]["responses"]["200"];
        assert_eq!(answer["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/TeamPage");
    }

    #[test]
    fn conditional_requests_are_parameters() {
        let document = document();
        let team = &document["paths"]["/api/v1/teams/{id}"];
        let has = |operation: &Value, name: &str| {
            operation["parameters"].as_array().expect("parameters").iter().any(|one| one["name"] == name)
        };
        assert!(has(&team["get"], "If-None-Match") && has(&team["put"], "If-Match"));
        assert!(has(&document["paths"]["/api/v1/teams"]["post"], "Idempotency-Key"));
        for response in [&team["get"]["responses"]["200"], &team["put"]["responses"]["200"]] {
            assert!(response["headers"]["ETag"].is_object());
        }
        assert!(document["paths"]["/api/v1/teams"]["post"]["responses"]["201"]["headers"]["ETag"].is_object());
    }

    #[test]
    fn an_object_of_unknown_members_is_open() {
        let mut value = json!({ "components": { "schemas": {
            "Open": { "type": ["object", "null"] },
            "Shut": { "type": "object", "properties": { "type": { "type": "string" } } },
        } } });
        open_objects(&mut value);
        assert_eq!(value["components"]["schemas"]["Open"]["additionalProperties"], true);
        assert!(value["components"]["schemas"]["Shut"].get("additionalProperties").is_none());
    }
}
