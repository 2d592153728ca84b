//! Names and serial numbers as text.
#![no_main]

use certctl_x509::{San, Serial};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = San::parse(text) {
        let again = San::parse(&name.to_string()).expect("what was taken once is taken again");
        assert_eq!(name, again, "a name has one spelling");
    }
    if let Ok(serial) = Serial::parse(text) {
        assert!(serial.octets().len() <= 20, "RFC 5280 §4.1.2.2");
    }
});
