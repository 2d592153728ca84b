"""A round trip with the generated Python client. Run by scripts/client-check, which says where the server is."""

import os
import ssl
import sys

from certctl_client import AuthenticatedClient, Client
from certctl_client.api.certificates import (
    delete_certificates_by_id,
    get_certificates,
    get_certificates_by_id,
    get_certificates_by_id_versions,
    post_certificates,
    post_certificates_by_id_revoke,
    post_certificates_by_id_versions,
    put_certificates_by_id,
)
from certctl_client.api.owners import delete_owners_by_id, post_owners
from certctl_client.api.pki import get_well_known_pki_ca_by_issuer_id
from certctl_client.api.profiles import delete_profiles_by_id, post_profiles
from certctl_client.api.teams import delete_teams_by_id, get_teams, post_teams
from certctl_client.models import (
    Certificate,
    CertificateChange,
    CertificateInput,
    ErrorBody,
    IssueInput,
    OwnerInput,
    ProfileInput,
    RevocationInput,
    Team,
    TeamInput,
)
from certctl_client.types import UNSET, File

URL = os.environ["CLIENT_CHECK_URL"]
TRUST = ssl.create_default_context(cafile=os.environ["CLIENT_CHECK_CA"])
client = AuthenticatedClient(
    base_url=URL, token=os.environ["CLIENT_CHECK_KEY"], verify_ssl=TRUST, raise_on_unexpected_status=True
)


def made(response, kind):
    """The body of a 201, of the type that the document promises."""
    assert response.status_code == 201, (response.status_code, response.content)
    assert isinstance(response.parsed, kind), response.parsed
    return response.parsed


def refused(response, status, code):
    """The body of a refusal: typed, with a stable token."""
    assert response.status_code == status, (response.status_code, response.content)
    assert isinstance(response.parsed, ErrorBody), response.parsed
    assert response.parsed.code == code, response.parsed
    assert response.parsed.request_id, response.parsed
    return response.parsed


# Without a key, and with one.
anonymous = Client(base_url=URL, verify_ssl=TRUST)
refused(get_teams.sync_detailed(client=anonymous), 401, "unauthenticated")

team = made(post_teams.sync_detailed(client=client, body=TeamInput(name="Python"), idempotency_key="python-1"), Team)
again = made(post_teams.sync_detailed(client=client, body=TeamInput(name="Python"), idempotency_key="python-1"), Team)
assert again.id == team.id, "a repeated request made a second team"
other = post_teams.sync_detailed(client=client, body=TeamInput(name="Other"), idempotency_key="python-1")
refused(other, 409, "idempotency_mismatch")

owner = post_owners.sync(client=client, body=OwnerInput(name="Python", email="python@example.com", team_id=team.id))
profile = post_profiles.sync(client=client, body=ProfileInput(name="Python", max_ttl_seconds=86400 * 30))


def certificate(name, **more):
    return CertificateInput(
        name=name, common_name="client.example.com", sans=["client.example.com"], owner_id=owner.id, team_id=team.id,
        issuer_id="iss-local", renewal_policy_id="rp-default", certificate_profile_id=profile.id, **more,
    )


# Create, and a refusal that names the member.
names = [f"python-{n}" for n in range(5)]
ids = [made(post_certificates.sync_detailed(client=client, body=certificate(name)), Certificate).id for name in names]
bad = refused(post_certificates.sync_detailed(client=client, body=certificate("x" * 256)), 400, "validation_failed")
assert [error.field for error in bad.errors] == ["name"], bad.errors

# Every row once, by cursor.
seen, cursor = [], UNSET
while True:
    page = get_certificates.sync(client=client, team_id=team.id, per_page=2, cursor=cursor)
    assert page.total == len(ids) and len(page.data) <= 2, page
    seen += [row.id for row in page.data]
    if not page.next_cursor:
        break
    cursor = page.next_cursor
assert sorted(seen) == sorted(ids), (seen, ids)
sparse = get_certificates.sync(client=client, team_id=team.id, fields="id,name").data[0]
assert sparse.id and sparse.name and sparse.status is UNSET, sparse

# Read, and read again only if it changed.
read = get_certificates_by_id.sync_detailed(ids[0], client=client)
etag = read.headers["ETag"]
assert isinstance(read.parsed, Certificate) and read.parsed.status == "Pending", read.parsed
assert get_certificates_by_id.sync_detailed(ids[0], client=client, if_none_match=etag).status_code == 304
refused(get_certificates_by_id.sync_detailed("mc-none", client=client), 404, "not_found")

# Change: with the ETag it succeeds once.
change = CertificateChange(environment="staging")
changed = put_certificates_by_id.sync_detailed(ids[0], client=client, body=change, if_match=etag)
assert changed.status_code == 200 and changed.parsed.environment == "staging", changed
assert changed.headers["ETag"] != etag
stale = put_certificates_by_id.sync_detailed(ids[0], client=client, body=change, if_match=etag)
refused(stale, 412, "precondition_failed")

# Issue, download the CA, revoke.
with open(os.environ["CLIENT_CHECK_CSR"], encoding="ascii") as file:
    issued = post_certificates_by_id_versions.sync(ids[0], client=client, body=IssueInput(csr_pem=file.read()))
versions = get_certificates_by_id_versions.sync(ids[0], client=client)
assert [version.serial_number for version in versions.data] == [issued.serial_number], versions
assert issued.not_after > issued.not_before, issued
authority = get_well_known_pki_ca_by_issuer_id.sync("iss-local", client=client)
assert isinstance(authority, File)
root = ssl.DER_cert_to_PEM_cert(authority.payload.read())
assert root.strip().splitlines()[1] in issued.pem_chain, "the chain does not end in the CA that the server publishes"
revoked = post_certificates_by_id_revoke.sync(ids[0], client=client, body=RevocationInput(reason="superseded"))
assert not isinstance(revoked, ErrorBody), revoked
assert get_certificates_by_id.sync(ids[0], client=client).status == "Revoked"

# Delete, from the leaves inward.
refused(delete_teams_by_id.sync_detailed(team.id, client=client), 409, "dependency_blocked")
for id in ids:
    assert delete_certificates_by_id.sync_detailed(id, client=client).status_code == 204
assert get_certificates.sync(client=client, team_id=team.id, include_archived=False).total == 0
assert get_certificates_by_id.sync(ids[1], client=client).status == "Archived"

unused = made(post_teams.sync_detailed(client=client, body=TeamInput(name="Python, unused")), Team)
extra = post_owners.sync(client=client, body=OwnerInput(name="Python, unused", team_id=unused.id))
spare = post_profiles.sync(client=client, body=ProfileInput(name="Python, unused"))
assert delete_profiles_by_id.sync_detailed(spare.id, client=client).status_code == 204
assert delete_owners_by_id.sync_detailed(extra.id, client=client).status_code == 204
assert delete_teams_by_id.sync_detailed(unused.id, client=client).status_code == 204
assert unused.id not in [row.id for row in get_teams.sync(client=client).data]

print(f"python: round trip ok with {len(ids)} certificates", file=sys.stderr)
