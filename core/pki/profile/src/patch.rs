//! Members of a partial update.

use serde::{Deserialize, Deserializer};

/// What a partial update says of one member: nothing, `null`, or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The member is absent: keep what is stored.
    #[default]
    Keep,
    /// The member is `null`: clear what is stored.
    Clear,
    /// The new value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

impl<T> Patch<T> {
    /// Writes the new value, or `cleared` for `null`, over `stored`.
    pub fn apply(self, stored: &mut T, cleared: T) {
        match self {
            Self::Keep => {}
            Self::Clear => *stored = cleared,
            Self::Set(value) => *stored = value,
        }
    }

    /// The same for an optional stored value.
    pub fn apply_optional(self, stored: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *stored = None,
            Self::Set(value) => *stored = Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        member: Patch<String>,
    }

    fn read(text: &str) -> Patch<String> {
        serde_json::from_str::<Body>(text).expect("valid").member
    }

    #[test]
    fn absent_null_and_a_value_are_told_apart() {
        assert_eq!(read("{}"), Patch::Keep);
        assert_eq!(read(r#"{"member":null}"#), Patch::Clear);
        assert_eq!(read(r#"{"member":"x"}"#), Patch::Set("x".to_owned()));
    }
}
