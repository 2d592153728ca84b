"""What schemathesis can't know by itself. Used by scripts/api-check.

- How an OCSP request (DER) goes into a body.
- Which objects stand: made-up identifiers only ever reach "not found", so every second one is replaced by one that exists.
"""

import json
import os
import zlib

import schemathesis

# Path segment or body member -> identifier of an object that scripts/api-check has made.
STANDING = json.loads(os.environ.get("CERTCTL_API_CHECK_OBJECTS", "{}"))


@schemathesis.serializer("application/ocsp-request")
def ocsp_request(ctx, value):
    """The document says "octets": bytes go out as they are, and anything else as text that is no DER."""
    return value if isinstance(value, bytes) else str(value).encode()


def every_second(value):
    """Decided by the value, so that one seed makes one run."""
    return zlib.crc32(repr(value).encode("utf-8", "replace")) % 2 == 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if not path_parameters:
        return path_parameters
    segments = context.operation.path.split("/")
    replaced = dict(path_parameters)
    for before, segment in zip(segments, segments[1:]):
        name = segment[1:-1]
        # Deleting what the other operations need would leave them with "not found" again.
        if before in STANDING and name in replaced and context.operation.method.upper() != "DELETE":
            if every_second(replaced[name]):
                replaced[name] = STANDING[before]
    return replaced


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    return {
        name: STANDING[name] if name in STANDING and isinstance(value, str) and every_second(value) else value
        for name, value in body.items()
    }
