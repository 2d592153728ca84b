//! Text that could deceive a reader (spec: reject, never rewrite).

use unicode_security::{GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection};

/// Characters that steer or hide text.
fn is_invisible_or_steering(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' // bidi embeddings, overrides, isolates
            | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' // zero width, joiners, direction marks
            | '\u{061C}' | '\u{00AD}' | '\u{180E}' // Arabic mark, soft hyphen, Mongolian separator
            | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}') // variation selectors
}

/// Why a text is unsafe, or None.
pub(crate) fn unsafe_text(text: &str) -> Option<String> {
    if let Some(c) = text.chars().find(|c| is_invisible_or_steering(*c)) {
        return Some(format!("it holds the control or invisible character U+{:04X}", u32::from(c)));
    }
    // Words of a raw text are held to the same rule as labels: mixing scripts within one is how look-alikes work.
    text.split(['.', '@', ' ', '/']).find_map(unsafe_label)
}

/// Why one label in Unicode form is unsafe, or None: UTS 39 "moderately restrictive" over allowed identifier
/// characters.
fn unsafe_label(label: &str) -> Option<String> {
    if label.is_ascii() {
        return None;
    }
    if let Some(c) = label.chars().find(|c| !c.is_ascii() && !c.identifier_allowed()) {
        return Some(format!("it holds the character U+{:04X}, which names don't use", u32::from(c)));
    }
    // ASCII punctuation belongs to every script; the profile knows identifiers only.
    let letters: String = label.chars().filter(|c| !c.is_ascii() || c.is_ascii_alphanumeric()).collect();
    (!letters.as_str().check_restriction_level(RestrictionLevel::ModeratelyRestrictive))
        .then(|| format!("\"{label}\" mixes scripts that look alike"))
}

#[cfg(test)]
mod tests {
    use super::unsafe_text;

    #[test]
    fn i04_i08_look_alikes_and_hidden_characters_are_unsafe() {
        for bad in [
            "p\u{430}ypal.com",      // Cyrillic a
            "goog\u{200B}le.com",    // zero width
            "abc\u{202E}moc.elgoog", // override
            "a\u{0}b",               // NUL
            "a\u{AD}b",              // soft hyphen
            "\u{3B1}dmin.example",   // Greek alpha before Latin
            "x\u{FE0F}",             // variation selector
        ] {
            assert!(unsafe_text(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn honest_text_of_one_script_is_safe() {
        for good in ["www.example.com", "bücher.example", "пример.испытание", "例え.テスト", "Ünternehmen GmbH"]
        {
            assert_eq!(unsafe_text(good), None, "{good}");
        }
    }
}
