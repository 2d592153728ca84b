//! Identity providers and mappings as a file says: what is missing is made, what differs is changed, and nothing else is
//! touched unless told so.

use super::fields::read_input;
use super::providers::{MAPPINGS, PROVIDERS, secret_from, unchecked};
use super::roles::text_of;
use super::{Needs, Verb};
use crate::failure::Failure;
use crate::run::{Call, destructive};
use crate::settings::Format;
use crate::wire::{Client, Limit, Method, Send, fetch};
use clap::{Arg, ArgAction};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Members of a provider that a file may set.
const MEMBERS: &[&str] = &[
    "name",
    "issuer_url",
    "client_id",
    "redirect_uri",
    "groups_claim_path",
    "groups_claim_format",
    "more_groups_claim_paths",
    "fetch_userinfo",
    "scopes",
    "allowed_email_domains",
    "require_verified_email",
    "iat_window_seconds",
    "jwks_cache_ttl_seconds",
    "at_hash_policy",
    "groups_overage",
    "hosted_domain",
    "default_role_id",
    "rp_initiated_logout",
    "ca_bundle_pem",
    "enabled",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    providers: Vec<ProviderEntry>,
}

#[derive(Debug, Deserialize)]
struct ProviderEntry {
    name: String,
    #[serde(default)]
    client_secret_env: Option<String>,
    #[serde(default)]
    client_secret_file: Option<String>,
    /// Left out: mappings are not looked at.
    #[serde(default)]
    mappings: Option<Vec<MappingEntry>>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingEntry {
    group: String,
    role: String,
    #[serde(default)]
    scope_type: Option<String>,
    #[serde(default)]
    scope_id: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

/// What makes a mapping the same mapping: group, role, kind and id of the scope.
type Key = (String, String, String, String);

/// Something to do.
#[derive(Debug, PartialEq)]
enum Step {
    CreateProvider { name: String, body: Map<String, Value> },
    ChangeProvider { name: String, id: String, changes: Map<String, Value>, before: Map<String, Value>, secret: bool },
    DisableProvider { name: String, id: String },
    DeleteProvider { name: String, id: String },
    AddMapping { provider: String, key: Key, description: String },
    DescribeMapping { provider: String, id: String, key: Key, description: String },
    RemoveMapping { provider: String, id: String, key: Key },
}

fn worth((group, role, scope_type, scope_id): &Key) -> String {
    let scope = [scope_type.as_str(), scope_id.as_str()].join(" ");
    match scope.trim() {
        "global" => format!("{group} gives {role}"),
        scope => format!("{group} gives {role} @ {scope}"),
    }
}

impl Step {
    const fn removes(&self) -> bool {
        matches!(self, Self::DisableProvider { .. } | Self::DeleteProvider { .. } | Self::RemoveMapping { .. })
    }

    /// As a line of a difference.
    fn line(&self) -> String {
        match self {
            Self::CreateProvider { name, .. } => format!("+ provider {name}"),
            Self::ChangeProvider { name, changes, before, secret, .. } => {
                let mut parts: Vec<String> = changes
                    .iter()
                    .map(|(member, new)| format!("{member} {} -> {new}", before.get(member).unwrap_or(&Value::Null)))
                    .collect();
                if *secret {
                    parts.push("client_secret".to_owned());
                }
                format!("~ provider {name}: {}", parts.join(", "))
            }
            Self::DisableProvider { name, .. } => {
                format!("~ provider {name}: switched off (people signed in through it)")
            }
            Self::DeleteProvider { name, .. } => format!("- provider {name}"),
            Self::AddMapping { provider, key, .. } => format!("+ mapping {provider}: {}", worth(key)),
            Self::DescribeMapping { provider, key, description, .. } => {
                format!("~ mapping {provider}: {}: description {}", worth(key), json!(description))
            }
            Self::RemoveMapping { provider, key, .. } => format!("- mapping {provider}: {}", worth(key)),
        }
    }
}

fn parse(path: &str) -> Result<Document, Failure> {
    let text = read_input(path)?;
    // Only the place: a file may hold more than it should.
    let document: Document = serde_yaml_ng::from_str(&text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        Failure::Usage(format!("{path} does not describe providers (line {line}); it begins with `providers:`"))
    })?;
    let mut names = BTreeSet::new();
    for provider in &document.providers {
        if !names.insert(provider.name.to_lowercase()) {
            return Err(Failure::Usage(format!("{path} names the provider {} twice", provider.name)));
        }
        if provider.settings.contains_key("client_secret") {
            let text = format!(
                "{path}: a secret does not belong in this file; name client_secret_env or client_secret_file of {}",
                provider.name
            );
            return Err(Failure::Usage(text));
        }
        if let Some(unknown) = provider.settings.keys().find(|member| !MEMBERS.contains(&member.as_str())) {
            return Err(Failure::Usage(format!("{path}: {unknown} is not a member of a provider ({})", provider.name)));
        }
    }
    Ok(document)
}

/// What the server has.
struct Present {
    providers: Vec<Value>,
    /// By id of the provider.
    mappings: BTreeMap<String, Vec<Value>>,
    /// Providers that people signed in through, among those that the file leaves out.
    peopled: BTreeSet<String>,
    /// Role ids by id and by name in lower case.
    roles: BTreeMap<String, String>,
}

fn key_of(mapping: &Value) -> Key {
    let text = |member: &str| text_of(mapping, member).to_owned();
    (text("group_name"), text("role_id"), text("scope_type"), text("scope_id"))
}

/// The difference between the file and what there is.
fn plan(document: &Document, present: &Present, prune: bool, secrets: bool) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    let mut removals = Vec::new();
    for wanted in &document.providers {
        let stored = present
            .providers
            .iter()
            .find(|stored| text_of(stored, "name").to_lowercase() == wanted.name.to_lowercase());
        match stored {
            None => {
                let mut body = wanted.settings.clone();
                body.insert("name".to_owned(), json!(wanted.name));
                steps.push(Step::CreateProvider { name: wanted.name.clone(), body });
            }
            Some(stored) => {
                let mut settings = wanted.settings.clone();
                settings.insert("name".to_owned(), json!(wanted.name));
                let changes: Map<String, Value> = settings
                    .into_iter()
                    // An absent member of what is stored is its empty form.
                    .filter(|(member, value)| match stored.get(member) {
                        Some(stored) => stored != value,
                        None => !matches!(value, Value::Null) && *value != json!(""),
                    })
                    .collect();
                let has_secret = wanted.client_secret_env.is_some() || wanted.client_secret_file.is_some();
                let secret = secrets && has_secret;
                if !changes.is_empty() || secret {
                    let before =
                        changes.keys().filter_map(|key| Some((key.clone(), stored.get(key)?.clone()))).collect();
                    let id = text_of(stored, "id").to_owned();
                    steps.push(Step::ChangeProvider { name: wanted.name.clone(), id, changes, before, secret });
                }
            }
        }
        let Some(mappings) = &wanted.mappings else { continue };
        let there =
            stored.and_then(|stored| present.mappings.get(text_of(stored, "id"))).map_or(&[][..], Vec::as_slice);
        let mut kept = BTreeSet::new();
        for entry in mappings {
            let role = present
                .roles
                .get(&entry.role)
                .or_else(|| present.roles.get(&entry.role.to_lowercase()))
                .ok_or_else(|| Failure::NotFound { kind: "role", text: entry.role.clone() })?;
            let scope_type = entry.scope_type.clone().unwrap_or_else(|| "global".to_owned());
            let key = (entry.group.clone(), role.clone(), scope_type, entry.scope_id.clone().unwrap_or_default());
            if !kept.insert(key.clone()) {
                return Err(Failure::Usage(format!("the file says twice that {}", worth(&key))));
            }
            let provider = wanted.name.clone();
            match there.iter().find(|mapping| key_of(mapping) == key) {
                None => {
                    let description = entry.description.clone().unwrap_or_default();
                    steps.push(Step::AddMapping { provider, key, description });
                }
                Some(mapping) => {
                    if let Some(description) =
                        entry.description.clone().filter(|text| text_of(mapping, "description") != text)
                    {
                        let id = text_of(mapping, "id").to_owned();
                        steps.push(Step::DescribeMapping { provider, id, key, description });
                    }
                }
            }
        }
        if prune {
            removals.extend(there.iter().filter(|mapping| !kept.contains(&key_of(mapping))).map(|mapping| {
                Step::RemoveMapping {
                    provider: wanted.name.clone(),
                    id: text_of(mapping, "id").to_owned(),
                    key: key_of(mapping),
                }
            }));
        }
    }
    if prune {
        let named: BTreeSet<String> = document.providers.iter().map(|provider| provider.name.to_lowercase()).collect();
        for stored in present.providers.iter().filter(|stored| !named.contains(&text_of(stored, "name").to_lowercase()))
        {
            let (name, id) = (text_of(stored, "name").to_owned(), text_of(stored, "id").to_owned());
            if !present.peopled.contains(&id) {
                removals.push(Step::DeleteProvider { name, id });
            } else if stored.get("enabled") == Some(&Value::Bool(true)) {
                removals.push(Step::DisableProvider { name, id });
            }
        }
    }
    steps.extend(removals);
    Ok(steps)
}

fn look(client: &Client, document: &Document, prune: bool) -> Result<Present, Failure> {
    let providers = fetch(client, PROVIDERS, &[], Limit::None)?.rows;
    let named: BTreeMap<String, bool> =
        document.providers.iter().map(|provider| (provider.name.to_lowercase(), provider.mappings.is_some())).collect();
    let (mut mappings, mut peopled) = (BTreeMap::new(), BTreeSet::new());
    for provider in &providers {
        let id = text_of(provider, "id").to_owned();
        match named.get(&text_of(provider, "name").to_lowercase()) {
            Some(true) => {
                let query = [("provider_id".to_owned(), id.clone())];
                mappings.insert(id, fetch(client, MAPPINGS, &query, Limit::None)?.rows);
            }
            None if prune => {
                let query = [("oidc_provider_id".to_owned(), id.clone())];
                if fetch(client, "/api/v1/auth/users", &query, Limit::Page(1, 1))?.total != Some(0) {
                    peopled.insert(id);
                }
            }
            _ => {}
        }
    }
    let mut roles = BTreeMap::new();
    for role in fetch(client, "/api/v1/auth/roles", &[], Limit::None)?.rows {
        let id = text_of(&role, "id").to_owned();
        roles.insert(text_of(&role, "name").to_lowercase(), id.clone());
        roles.insert(id.clone(), id);
    }
    Ok(Present { providers, mappings, peopled, roles })
}

/// Carries the steps out, and tells each as it is done.
fn carry_out(
    call: &Call,
    client: &Client,
    document: &Document,
    present: &Present,
    steps: &[Step],
) -> Result<(), Failure> {
    // Secrets are read before anything changes.
    let mut secrets = BTreeMap::new();
    for step in steps {
        let (name, needed) = match step {
            Step::CreateProvider { name, .. } => (name, true),
            Step::ChangeProvider { name, secret, .. } => (name, *secret),
            _ => continue,
        };
        let entry = document.providers.iter().find(|provider| provider.name == *name);
        if let (true, Some(entry)) = (needed, entry) {
            let secret = secret_from(call, entry.client_secret_file.as_deref(), entry.client_secret_env.as_deref())?
                .ok_or_else(|| {
                    Failure::Usage(format!("the new provider {name} needs client_secret_env or client_secret_file"))
                })?;
            secrets.insert(name.clone(), secret);
        }
    }
    let mut ids: BTreeMap<String, String> = present
        .providers
        .iter()
        .map(|provider| (text_of(provider, "name").to_lowercase(), text_of(provider, "id").to_owned()))
        .collect();
    let skip = call.switch("skip-check");
    for step in steps {
        match step {
            Step::CreateProvider { name, body } => {
                let mut body = body.clone();
                body.insert("client_secret".to_owned(), json!(secrets.get(name)));
                let request = Send::to(PROVIDERS, &[]).body(Value::Object(body));
                let made = client.post(&unchecked(request, skip))?;
                ids.insert(name.to_lowercase(), text_of(&made, "id").to_owned());
            }
            Step::ChangeProvider { name, id, changes, secret, .. } => {
                let mut body = changes.clone();
                if *secret {
                    body.insert("client_secret".to_owned(), json!(secrets.get(name)));
                }
                let rest = [id.as_str()];
                client.patch(&unchecked(Send::to(PROVIDERS, &rest).body(Value::Object(body)), skip))?;
            }
            Step::DisableProvider { id, .. } => {
                client.patch(&Send::to(PROVIDERS, &[id]).body(json!({"enabled": false})))?;
            }
            Step::DeleteProvider { id, .. } => {
                client.send(Method::Delete, &Send::to(PROVIDERS, &[id]))?;
            }
            Step::AddMapping { provider, key: (group, role, scope_type, scope_id), description } => {
                let mut body = json!({
                    "provider_id": ids.get(&provider.to_lowercase()), "group_name": group, "role_id": role,
                    "scope_type": scope_type, "description": description,
                });
                if !scope_id.is_empty() {
                    body["scope_id"] = json!(scope_id);
                }
                client.post(&Send::to(MAPPINGS, &[]).body(body))?;
            }
            Step::DescribeMapping { id, description, .. } => {
                client.patch(&Send::to(MAPPINGS, &[id]).body(json!({"description": description})))?;
            }
            Step::RemoveMapping { id, .. } => {
                client.send(Method::Delete, &Send::to(MAPPINGS, &[id]))?;
            }
        }
        if matches!(call.format()?, Format::Table | Format::Wide | Format::Csv) {
            crate::render::print(format!("{}\n", crate::render::safe(&step.line())).as_bytes())?;
        }
    }
    Ok(())
}

pub(crate) static APPLY: Verb = Verb {
    word: "apply",
    aliases: &[],
    about: "Make identity providers and mappings what a file says",
    needs: Needs::Permission("auth.oidc.create, auth.oidc.edit, auth.role.assign, auth.role.list"),
    examples: ["auth apply -f providers.yaml --dry-run", "auth apply -f providers.yaml --prune --yes"],
    exits: &[7, 8, 9],
    args: |command, _| {
        destructive(
            command.args([
                Arg::new("file")
                    .short('f')
                    .long("file")
                    .value_name("FILE")
                    .required(true)
                    .help("YAML or JSON (- for standard input)"),
                Arg::new("prune")
                    .long("prune")
                    .action(ArgAction::SetTrue)
                    .help("Remove what the file leaves out; a provider that people signed in through is switched off"),
                Arg::new("update-secrets").long("update-secrets").action(ArgAction::SetTrue).help(
                    "Send the client secrets of providers that exist as well; nobody can tell whether they differ",
                ),
                Arg::new("skip-check")
                    .long("skip-check")
                    .action(ArgAction::SetTrue)
                    .help("Keep providers without asking them"),
            ]),
        )
    },
    run: |call| {
        let document = parse(call.text("file").unwrap_or_default())?;
        let client = call.client()?;
        let prune = call.switch("prune");
        let present = look(&client, &document, prune)?;
        let steps = plan(&document, &present, prune, call.switch("update-secrets"))?;
        let lines: Vec<String> = steps.iter().map(Step::line).collect();
        let for_people = matches!(call.format()?, Format::Table | Format::Wide | Format::Csv);
        let dry = call.switch("dry_run");
        let summary = |done: bool| json!({"dry_run": dry, "done": done, "count": lines.len(), "changes": lines});
        if steps.is_empty() {
            return call.report("nothing to change", &summary(true));
        }
        if dry {
            let mut text: String = lines.iter().map(|line| crate::render::safe(line)).collect::<Vec<_>>().join("\n");
            text.push('\n');
            return if for_people { crate::render::print(text.as_bytes()) } else { call.show(&summary(false)) };
        }
        let removed: Vec<Value> =
            steps.iter().filter(|step| step.removes()).map(|step| json!({"name": step.line()})).collect();
        if !removed.is_empty() && !call.go_ahead("remove what the file leaves out", &removed)? {
            return Ok(());
        }
        carry_out(call, &client, &document, &present, &steps)?;
        call.report(&format!("{} changes made", steps.len()), &summary(true))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("auth.yaml");
        std::fs::write(&path, text).unwrap();
        parse(path.to_str().unwrap()).unwrap()
    }

    fn refused(text: &str) -> String {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("auth.yaml");
        std::fs::write(&path, text).unwrap();
        parse(path.to_str().unwrap()).expect_err("refused").to_string()
    }

    fn present() -> Present {
        let mapping = |id: &str, group: &str, role: &str| json!({"id": id, "group_name": group, "role_id": role, "scope_type": "global", "description": "d"});
        Present {
            providers: vec![
                json!({"id": "op-1", "name": "Corp", "issuer_url": "https://a.example", "enabled": true, "scopes": ["openid"]}),
                json!({"id": "op-2", "name": "old", "enabled": true}),
                json!({"id": "op-3", "name": "older", "enabled": false}),
                json!({"id": "op-4", "name": "unused", "enabled": true}),
            ],
            mappings: BTreeMap::from([(
                "op-1".to_owned(),
                vec![mapping("grm-1", "eng", "r-operator"), mapping("grm-2", "gone", "r-viewer")],
            )]),
            peopled: BTreeSet::from(["op-2".to_owned(), "op-3".to_owned()]),
            roles: BTreeMap::from(
                [("operator", "r-operator"), ("r-operator", "r-operator"), ("viewer", "r-viewer")]
                    .map(|(name, id)| (name.to_owned(), id.to_owned())),
            ),
        }
    }

    fn lines(text: &str, prune: bool) -> Vec<String> {
        plan(&document(text), &present(), prune, false).unwrap().iter().map(Step::line).collect()
    }

    #[test]
    fn only_what_differs_is_changed_and_names_are_compared_without_case() {
        let same = "providers:\n- name: Corp\n  issuer_url: https://a.example\n  scopes: [openid]\n  default_role_id: ''\n  \
                    client_secret_env: X\n  mappings:\n  - {group: eng, role: Operator}\n  - {group: gone, role: viewer, description: d}\n";
        assert_eq!(lines(same, false), Vec::<String>::new());
        let other = "providers:\n- name: corp\n  enabled: false\n  mappings:\n  - {group: eng, role: operator, description: on call}\n  \
                     - {group: new, role: viewer, scope_type: profile, scope_id: prof-1}\n- {name: fresh}\n";
        assert_eq!(
            lines(other, false),
            [
                "~ provider corp: enabled true -> false, name \"Corp\" -> \"corp\"",
                "~ mapping corp: eng gives r-operator: description \"on call\"",
                "+ mapping corp: new gives r-viewer @ profile prof-1",
                "+ provider fresh",
            ]
        );
    }

    #[test]
    fn what_the_file_leaves_out_goes_only_when_told_and_after_everything_else() {
        let text = "providers:\n- name: Corp\n  mappings:\n  - {group: eng, role: operator}\n- {name: fresh}\n";
        assert_eq!(lines(text, false), ["+ provider fresh"]);
        assert_eq!(
            lines(text, true),
            [
                "+ provider fresh",
                "- mapping Corp: gone gives r-viewer",
                "~ provider old: switched off (people signed in through it)",
                "- provider unused",
            ]
        );
        assert_eq!(
            lines("providers:\n- name: Corp\n- name: old\n- name: older\n- name: unused\n", true),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_secret_is_sent_again_only_when_told() {
        let wanted = document("providers:\n- name: Corp\n  client_secret_env: X\n");
        assert!(plan(&wanted, &present(), false, false).unwrap().is_empty());
        let steps = plan(&wanted, &present(), false, true).unwrap();
        assert_eq!(steps.iter().map(Step::line).collect::<Vec<_>>(), ["~ provider Corp: client_secret"]);
    }

    #[test]
    fn files_that_say_too_much_or_twice_are_refused() {
        assert!(refused("providers:\n- {name: a, client_secret: hunter2}\n").contains("client_secret_env"));
        assert!(!refused("providers:\n- {name: a, client_secret: hunter2}\n").contains("hunter2"));
        assert!(refused("providers:\n- {name: a, colour: red}\n").contains("colour"));
        assert!(refused("providers:\n- {name: a}\n- {name: A}\n").contains("twice"));
        assert!(refused("provider: []\n").contains("begins with"));
        let twice = document(
            "providers:\n- name: Corp\n  mappings:\n  - {group: a, role: viewer}\n  - {group: a, role: viewer}\n",
        );
        assert_eq!(plan(&twice, &present(), false, false).unwrap_err().exit_code(), 2);
        let nobody = document("providers:\n- name: Corp\n  mappings:\n  - {group: a, role: nobody}\n");
        assert_eq!(plan(&nobody, &present(), false, false).unwrap_err().exit_code(), 7);
    }
}
