"""Runs pkilint over every object in a folder, in one process: lint_check.py FOLDER ALLOWED.

Acceptance: no finding of severity WARNING, ERROR or FATAL that ALLOWED does not name with a reason. The lints of a file follow from its name, `<ca>.<kind>.<key>.<type>`; see core/pki/x509/examples/lint_samples.rs.
"""

import contextlib
import io
import json
import pathlib
import sys

from pkilint.bin import lint_crl, lint_ocsp_response, lint_pkix_cert, lint_pkix_signer_signee_cert_chain


def findings(tool, *arguments):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        tool.main(["lint", "--format", "JSON", "--severity", "WARNING", "--document-format", "DER", *arguments])
    # What can't be read prints nothing, which is an error here.
    for result in json.loads(output.getvalue())["results"]:
        for finding in result["finding_descriptions"]:
            yield finding["severity"], finding["code"], result.get("node_path", ""), finding.get("message") or ""


def allowed(path):
    """Lines `CODE KIND reason`; KIND is the second part of a file's name."""
    table = set()
    for line in pathlib.Path(path).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            code, kind, reason = line.split(maxsplit=2)
            assert reason
            table.add((code, kind))
    return table


def lints(folder, path):
    ca, kind = path.name.split(".")[:2]
    if path.suffix == ".crt":
        yield "certificate", lint_pkix_cert, [str(path)]
        issuer = folder / (f"{ca}.sub.p256.crt" if kind == "deep" else f"{ca}.root.{ca}.crt")
        if kind != "root":
            yield "pair with its issuer", lint_pkix_signer_signee_cert_chain, [str(issuer), str(path)]
    elif path.suffix == ".crl":
        yield "list", lint_crl, ["--type", "CRL", "--profile", "PKIX", str(path)]
    elif path.suffix == ".ocsp":
        yield "answer", lint_ocsp_response, [str(path)]
    else:
        raise ValueError(path)


def main(folder, allow_list):
    folder, table = pathlib.Path(folder), allowed(allow_list)
    used, runs, bad = set(), 0, []
    for path in sorted(folder.iterdir()):
        kind = path.name.split(".")[1]
        for what, tool, arguments in lints(folder, path):
            runs += 1
            for severity, code, place, message in findings(tool, *arguments):
                if (code, kind) in table:
                    used.add((code, kind))
                else:
                    bad.append(f"{path.name} ({what}): {severity} {code} at {place} {message}")
    for code, kind in sorted(table - used):
        bad.append(f"the allow-list names {code} for {kind}, which nothing gives any more")
    print("\n".join(bad))
    print(f"pkilint: {runs} runs over {len(list(folder.iterdir()))} objects, {len(bad)} findings")
    return 1 if bad or not runs else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
