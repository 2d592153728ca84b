//! Where a provider tells a person's groups.

use serde_json::Value;
use std::collections::BTreeSet;

/// Groups that one sign-in may carry. Beyond it a provider sends everything it knows, which is no basis for roles.
pub const MOST_GROUPS: usize = 2_000;
/// Characters of a group's name.
pub const LONGEST_GROUP: usize = 1_024;

/// Why the groups can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// The claim is not there.
    #[error("the group claim is not there")]
    Missing,
    /// The claim is there, and is no list of names.
    #[error("the group claim is not a list of names")]
    NotNames,
    /// The provider says that there are more groups than it lists, or it lists more than a sign-in may carry.
    #[error("there are more groups than a sign-in can carry")]
    Overage,
}

/// Groups at one path of `claims`.
///
/// A path that begins with `http://` or `https://` is the name of one member, dots and slashes included. One that begins
/// with `/` is a JSON Pointer (RFC 6901). Any other descends at its dots. The value is a list of texts or one text.
pub fn groups_at(claims: &Value, path: &str) -> Result<Vec<String>, GroupsError> {
    let found = if path.is_empty() {
        None
    } else if path.starts_with("https://") || path.starts_with("http://") {
        claims.get(path)
    } else if path.starts_with('/') {
        claims.pointer(path)
    } else {
        path.split('.').try_fold(claims, |inside, name| inside.as_object()?.get(name))
    };
    match found {
        Some(Value::String(name)) => names([name.as_str()]),
        Some(Value::Array(items)) => {
            if items.len() > MOST_GROUPS {
                return Err(GroupsError::Overage);
            }
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            names(texts.ok_or(GroupsError::NotNames)?)
        }
        Some(_) => Err(GroupsError::NotNames),
        None if overage(claims, path) => Err(GroupsError::Overage),
        None => Err(GroupsError::Missing),
    }
}

fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, GroupsError> {
    texts
        .into_iter()
        .map(|text| if text.len() <= LONGEST_GROUP { Ok(text.to_owned()) } else { Err(GroupsError::NotNames) })
        .collect()
}

/// Groups at every path, each name once. A path that is not there adds nothing as long as another is; a claim that is
/// no list of names refuses all of them, because nobody knows what it was meant to say.
pub fn groups_at_all<'a>(claims: &Value, paths: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, GroupsError> {
    let (mut merged, mut over) = (BTreeSet::new(), false);
    for path in paths {
        match groups_at(claims, path) {
            Ok(found) => merged.extend(found),
            Err(GroupsError::Missing) => {}
            Err(GroupsError::Overage) => over = true,
            Err(GroupsError::NotNames) => return Err(GroupsError::NotNames),
        }
    }
    merged.remove("");
    if over || merged.len() > MOST_GROUPS {
        return Err(GroupsError::Overage);
    }
    if merged.is_empty() { Err(GroupsError::Missing) } else { Ok(merged.into_iter().collect()) }
}

/// Whether Entra ID left the claim out because it would be too long: it then names a place to ask
/// (`_claim_names`, OpenID Connect Core section 5.6.2), or sets `hasgroups`.
fn overage(claims: &Value, path: &str) -> bool {
    let elsewhere = |name: &str| claims.get("_claim_names").and_then(|names| names.get(name)).is_some();
    let named = path.trim_start_matches('/');
    elsewhere(named) || (named == "groups" && claims.get("hasgroups").is_some_and(|has| *has != Value::Bool(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::unnecessary_wraps, reason = "what it is compared with is a result")]
    fn ok(names: &[&str]) -> Result<Vec<String>, GroupsError> {
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_list_one_text_and_an_empty_list_are_groups() {
        assert_eq!(groups_at(&json!({"groups": ["b", "a"]}), "groups"), ok(&["b", "a"]));
        assert_eq!(groups_at(&json!({"groups": "ops"}), "groups"), ok(&["ops"]));
        assert_eq!(groups_at(&json!({"groups": []}), "groups"), ok(&[]));
    }

    #[test]
    fn gm_01_anything_else_is_none() {
        for value in [json!(null), json!(true), json!(7), json!({"a": "b"}), json!(["a", 7]), json!([["a"]])] {
            let claims = json!({"groups": value});
            assert_eq!(groups_at(&claims, "groups"), Err(GroupsError::NotNames), "{claims}");
            assert!(groups_at_all(&claims, ["groups"]).is_err());
        }
        assert_eq!(groups_at(&json!({}), "groups"), Err(GroupsError::Missing));
        assert_eq!(groups_at(&json!({"groups": ["a"]}), ""), Err(GroupsError::Missing));
        assert_eq!(groups_at_all(&json!({"groups": []}), ["groups"]), Err(GroupsError::Missing));
        assert_eq!(groups_at_all(&json!({"groups": [""]}), ["groups"]), Err(GroupsError::Missing));
    }

    #[test]
    fn gm_02_paths_descend_at_dots_point_or_are_taken_by_the_letter() {
        let claims = json!({
            "realm_access": {"roles": ["r"]},
            "resource_access": {"my.client": {"roles": ["c"]}, "a/b": ["s"]},
            "https://corp.example/groups": ["u"],
            "name": "text",
        });
        assert_eq!(groups_at(&claims, "realm_access.roles"), ok(&["r"]));
        assert_eq!(groups_at(&claims, "/resource_access/my.client/roles"), ok(&["c"]));
        assert_eq!(groups_at(&claims, "/resource_access/a~1b"), ok(&["s"]));
        assert_eq!(groups_at(&claims, "https://corp.example/groups"), ok(&["u"]));
        for nowhere in
            ["name.first", "realm_access.roles.0", "realm_access..roles", "https://corp.example/others", "/no"]
        {
            assert_eq!(groups_at(&claims, nowhere), Err(GroupsError::Missing), "{nowhere}");
        }
    }

    #[test]
    fn several_paths_are_merged_and_one_that_makes_no_sense_spoils_all() {
        let claims = json!({"groups": ["b", "a"], "roles": ["a", "c"], "odd": 7});
        assert_eq!(groups_at_all(&claims, ["groups", "roles", "absent"]), ok(&["a", "b", "c"]));
        assert_eq!(groups_at_all(&claims, ["groups", "odd"]), Err(GroupsError::NotNames));
    }

    #[test]
    fn gm_05_overage_is_told_apart() {
        let entra = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}});
        assert_eq!(groups_at(&entra, "groups"), Err(GroupsError::Overage));
        assert_eq!(groups_at(&entra, "/groups"), Err(GroupsError::Overage));
        assert_eq!(groups_at(&entra, "roles"), Err(GroupsError::Missing));
        assert_eq!(groups_at(&json!({"hasgroups": true}), "groups"), Err(GroupsError::Overage));
        let both = json!({"_claim_names": {"groups": "src1"}, "roles": ["admins"]});
        assert_eq!(groups_at_all(&both, ["groups", "roles"]), Err(GroupsError::Overage), "half of the groups is none");
    }

    #[test]
    fn gm_11_too_many_or_too_long_is_refused() {
        let many: Vec<String> = (0..10_000).map(|n| format!("g{n}")).collect();
        assert_eq!(groups_at(&json!({"groups": many}), "groups"), Err(GroupsError::Overage));
        let half: Vec<String> = (0..1_500).map(|n| format!("a{n}")).collect();
        let rest: Vec<String> = (0..1_500).map(|n| format!("b{n}")).collect();
        assert_eq!(groups_at_all(&json!({"a": half, "b": rest}), ["a", "b"]), Err(GroupsError::Overage));
        let long = "g".repeat(LONGEST_GROUP + 1);
        assert_eq!(groups_at(&json!({"groups": [long]}), "groups"), Err(GroupsError::NotNames));
    }
}
