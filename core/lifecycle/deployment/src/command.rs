//! The guard of command members in a target's configuration.

use certctl_kernel::FieldError;
use serde_json::Value;

/// Members that hold a command an agent runs.
pub const COMMAND_MEMBERS: [&str; 3] = ["reload_command", "validate_command", "restart_command"];
const LONGEST: usize = 1024;
const FORBIDDEN: &[char] = &[';', '|', '&', '$', '`', '(', ')', '{', '}', '<', '>', '\\', '"', '\'', '\r', '\n', '\0'];

/// Checks one command. Commands run without a shell; what only a shell would understand is refused all the same, so
/// that no later way of running them can be talked into more.
pub fn check_command(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("must be at most {LONGEST} bytes"));
    }
    match text.chars().find(|c| FORBIDDEN.contains(c)) {
        Some(found) => {
            Err(format!("must not contain {found:?}: commands run without a shell, such as nginx -s reload"))
        }
        None => Ok(()),
    }
}

/// Checks the command members of a configuration, whatever the target's type.
pub(crate) fn check_commands(config: &Value) -> Vec<FieldError> {
    COMMAND_MEMBERS
        .iter()
        .filter_map(|member| {
            let text = config.get(member)?.as_str()?;
            let message = check_command(text).err()?;
            Some(FieldError::new(format!("config.{member}"), "unsafe_command", message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn plain_commands_pass_and_shell_syntax_does_not() {
        assert_eq!(check_command("nginx -s reload"), Ok(()));
        assert_eq!(check_command(""), Ok(()));
        for bad in ["nginx; id", "a && b", "a | b", "$(id)", "`id`", "a > /etc/x", "a\nb", "\"x\"", &"x".repeat(1025)] {
            assert!(check_command(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_broken_command_is_named() {
        let errors =
            check_commands(&json!({"reload_command": "a;b", "validate_command": "ok", "restart_command": "`"}));
        let fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["config.reload_command", "config.restart_command"]);
    }

    proptest! {
        #[test]
        fn an_accepted_command_means_the_same_with_and_without_a_shell(text in "[ -~]{0,40}") {
            if check_command(&text).is_ok() {
                prop_assert!(!text.contains(FORBIDDEN));
            }
        }
    }
}
