//! Rules and helpers that several objects share.

use certctl_kernel::{DomainError, FieldError, Id, IdKind};
use certctl_ports::Ambient;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Collects broken rules, so that a refusal names all of them.
#[derive(Default)]
pub(crate) struct Broken(pub(crate) Vec<FieldError>);

impl Broken {
    pub(crate) fn add(&mut self, field: &str, code: &str, message: impl Into<String>) {
        self.0.push(FieldError::new(field, code, message));
    }

    /// A name: not blank, at most 255 characters, none of them a control character.
    pub(crate) fn check_name(&mut self, field: &str, name: &str) {
        if name.trim().is_empty() {
            self.add(field, "required", "is required");
        } else {
            self.check_text(field, name, 255);
        }
    }

    /// Text of at most `most` characters without control characters.
    pub(crate) fn check_text(&mut self, field: &str, text: &str, most: usize) {
        if text.chars().count() > most {
            self.add(field, "too_long", format!("must have at most {most} characters"));
        } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.add(field, "invalid", "must not contain control characters");
        }
    }

    /// A reference that must be given.
    pub(crate) fn check_reference(&mut self, field: &str, id: &str) {
        if id.is_empty() {
            self.add(field, "required", "is required");
        } else if IdKind::check_supplied(id).is_err() {
            self.add(field, "unknown_reference", "names an object that does not exist");
        }
    }

    /// A reference that may be left out.
    pub(crate) fn check_optional_reference(&mut self, field: &str, id: Option<&String>) {
        if let Some(id) = id {
            self.check_reference(field, id);
        }
    }

    /// An id that the caller may have chosen.
    pub(crate) fn check_id(&mut self, id: Option<&String>) {
        if let Some(Err(error)) = id.map(|id| IdKind::check_supplied(id)) {
            self.add("id", "invalid_id", error.to_string());
        }
    }

    pub(crate) fn settle(self) -> Result<(), DomainError> {
        if self.0.is_empty() { Ok(()) } else { Err(DomainError::Validation(self.0)) }
    }
}

/// An id that the caller chose; empty counts as not chosen.
pub(crate) fn chosen(id: Option<String>) -> Option<Id> {
    id.filter(|id| !id.is_empty())
}

/// The chosen id, or a fresh one.
pub(crate) fn id_or_fresh(id: Option<Id>, kind: IdKind, ambient: &Ambient) -> Id {
    id.unwrap_or_else(|| ambient.id(kind))
}

/// Names and references lose blanks at both ends; an empty one in an update means "unchanged".
pub(crate) fn set_unless_empty(new: Option<String>, stored: &mut String) {
    if let Some(new) = new {
        let trimmed = new.trim();
        if !trimmed.is_empty() {
            trimmed.clone_into(stored);
        }
    }
}

/// `If-Match`.
pub(crate) fn check_version(expected: Option<i64>, stored: i64) -> Result<(), DomainError> {
    if expected.is_some_and(|expected| expected != stored) { Err(DomainError::PreconditionFailed) } else { Ok(()) }
}

/// 409 while something refers to the object; says what and how many.
pub(crate) fn refuse_if_used(object: &str, users: &[(&str, i64)]) -> Result<(), DomainError> {
    let used: Vec<String> = users.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect();
    if used.is_empty() {
        return Ok(());
    }
    Err(DomainError::conflict(
        "dependency_blocked",
        format!("the {object} is in use by {}; move or remove them first", used.join(" and ")),
    ))
}

/// What an update changed: field → [old, new].
#[derive(Default)]
pub(crate) struct Changes(Map<String, Value>);

impl Changes {
    pub(crate) fn note<T: Serialize + PartialEq>(&mut self, field: &str, old: &T, new: &T) {
        if old != new {
            self.0.insert(field.to_owned(), json!([old, new]));
        }
    }

    pub(crate) fn into_details(self) -> Value {
        json!({ "changes": self.0 })
    }
}
