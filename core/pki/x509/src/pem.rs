//! PEM (RFC 7468): written in 64 columns with `\n`, read leniently as other tools write it.

use crate::Error;
use data_encoding::{BASE64, Specification};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// Label of certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Label of certification requests.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
/// Longest body that is reserved at once; longer ones, which are no keys, grow as they come.
const MAX_RESERVED: usize = 8 * 1024;

/// Label of PKCS#8 keys.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";

/// One PEM block.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// What stands after `BEGIN`.
    pub label: String,
    /// The content.
    pub der: Vec<u8>,
}

/// Shows the label only: the content may be a key.
impl std::fmt::Debug for Block {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Block").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Writes one block, ending in a newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    wrapped().encode_append(der, &mut text);
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

fn wrapped() -> &'static data_encoding::Encoding {
    static ENCODING: OnceLock<data_encoding::Encoding> = OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut specification: Specification = BASE64.specification();
        specification.wrap.width = 64;
        specification.wrap.separator.push('\n');
        specification.encoding().expect("base64 with 64 columns is a valid encoding")
    })
}

/// Reads every block in order. Text between blocks, such as a dump of the certificate, is skipped; a damaged block
/// is an error, never skipped.
pub fn decode_all(text: &str) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    // Reserved ahead and wiped: the text may be a private key.
    let mut open: Option<(String, Zeroizing<String>)> = None;
    for line in text.lines() {
        let line = line.trim();
        let boundary = |kind: &str| line.strip_prefix(kind).and_then(|rest| rest.strip_suffix("-----"));
        match (&mut open, boundary("-----BEGIN "), boundary("-----END ")) {
            (None, Some(label), _) => {
                open = Some((label.to_owned(), Zeroizing::new(String::with_capacity(text.len().min(MAX_RESERVED)))));
            }
            (None, None, Some(_)) => return Err(malformed("an END line without its BEGIN line")),
            (None, None, None) => {}
            (Some(_), Some(_), _) => return Err(malformed("a BEGIN line inside a block")),
            (Some((label, body)), None, Some(end)) => {
                if label != end {
                    return Err(malformed("BEGIN and END lines differ"));
                }
                let der = BASE64.decode(body.as_bytes()).map_err(|_| malformed("not valid base64"))?;
                if der.is_empty() {
                    return Err(malformed("an empty block"));
                }
                blocks.push(Block { label: std::mem::take(label), der });
                open = None;
            }
            // Headers of RFC 1421, such as `Proc-Type`, mark encrypted legacy keys; they fail as base64 below.
            (Some((_, body)), None, None) => body.extend(line.chars().filter(|c| !c.is_ascii_whitespace())),
        }
    }
    if open.is_some() {
        return Err(malformed("a block without its END line"));
    }
    Ok(blocks)
}

/// Reads the certificates of a text that holds nothing else.
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    let blocks = decode_all(text)?;
    if blocks.is_empty() {
        return Err(malformed("no CERTIFICATE block"));
    }
    blocks
        .into_iter()
        .map(|block| {
            if block.label == CERTIFICATE { Ok(block.der) } else { Err(malformed("a block that is not a CERTIFICATE")) }
        })
        .collect()
}

fn malformed(reason: &str) -> Error {
    Error::malformed("PEM", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_survive_the_round_trip_in_64_columns() {
        for length in [1usize, 47, 48, 49, 96, 500] {
            let der = vec![0xA5; length];
            let text = encode("X", &der);
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            assert!(text.ends_with("\n-----END X-----\n"), "{text}");
            assert_eq!(decode_all(&text).expect("valid"), vec![Block { label: "X".into(), der }]);
        }
    }

    #[test]
    fn other_line_ends_widths_and_text_between_blocks_are_read() {
        let text = "subject=/CN=x\r\n-----BEGIN A-----\r\nQUFB\r\nQUFB\r\n-----END A-----\r\n# note\r\n";
        assert_eq!(decode_all(text).expect("valid")[0].der, b"AAAAAA");
    }

    #[test]
    fn damaged_blocks_are_errors() {
        for bad in [
            "-----BEGIN A-----\nQUFB\n",
            "-----BEGIN A-----\nQUFB\n-----END B-----\n",
            "-----BEGIN A-----\n-----END A-----\n",
            "-----BEGIN A-----\nQU*B\n-----END A-----\n",
            "-----BEGIN A-----\n-----BEGIN A-----\nQUFB\n-----END A-----\n",
            "-----END A-----\n",
        ] {
            assert!(decode_all(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_never_shows_the_content() {
        let block = Block { label: "PRIVATE KEY".into(), der: vec![1, 2, 3] };
        assert_eq!(format!("{block:?}"), "Block { label: \"PRIVATE KEY\", .. }");
    }
}
