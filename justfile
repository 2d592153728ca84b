# Every routine task of a contributor. `just` alone lists them.

default:
    @just --list

# Format, lint and run every test, as scripts/test does after setting up.
test: fmt-check lint arch unit openapi-check

# Check the formatting.
fmt-check:
    cargo fmt --all --check

# Format everything.
fmt:
    cargo fmt --all

# Clippy, warnings denied.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# The dependency rules between rooms.
arch:
    cargo test --locked -p certctl-tests --test architecture

# Every test that cargo knows, with the binaries that the end-to-end tests start.
unit:
    cargo build --locked -p certctl-server -p certctl-agent -p certctl-cli -p certctl-audit-cli
    cargo test --workspace --locked

# Write openapi/openapi.json anew from the code.
openapi:
    cargo run --locked -q -p certctl-server -- openapi > openapi/openapi.json.new
    mv openapi/openapi.json.new openapi/openapi.json

# Fail when the committed document differs from the code.
openapi-check:
    cargo run --locked -q -p certctl-server -- openapi | diff -u openapi/openapi.json -

# Judge every response of the real server by the OpenAPI document (schemathesis); part of scripts/test.
api-check:
    scripts/api-check

# Let pkilint, OpenSSL, GnuTLS and NSS judge every kind of certificate, CRL and OCSP answer; part of scripts/test.
lint-check:
    scripts/lint-check

# Generate Python and TypeScript clients and let them make a round trip; part of scripts/test.
client-check:
    scripts/client-check

# Feed the parsers of strangers' octets with libFuzzer's inventions: `just fuzz 60 ocsp`.
fuzz *args:
    scripts/fuzz {{args}}

# Measure the release binaries against physical yardsticks; see docs/performance.md.
bench *arguments:
    scripts/bench {{arguments}}

# Licences and bans (needs cargo-deny).
deny:
    cargo deny check licenses bans sources

# The whole journey with real peers; part of scripts/test.
journey:
    scripts/demo --check

# The auditor's tool as one static file: target/x86_64-unknown-linux-gnu/release/certctl-audit.
audit-static:
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target x86_64-unknown-linux-gnu -p certctl-audit-cli
