// A round trip with the generated TypeScript client. Compiled and run by scripts/client-check, which says where the server
// is. What the compiler checks is half of it: every member used here is declared in the document.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./certctl.js";

type Schemas = components["schemas"];

const setting = (name: string): string => {
  const value = process.env[name];
  assert.ok(value, `${name} is missing`);
  return value;
};
const baseUrl = setting("CLIENT_CHECK_URL");
const anonymous = createClient<paths>({ baseUrl });
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${setting("CLIENT_CHECK_KEY")}` } });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of a success. */
function done<T>(answer: Answer<T>, status: number): T {
  assert.equal(answer.response.status, status, JSON.stringify(answer.error));
  assert.ok(answer.data !== undefined);
  return answer.data;
}

/** The body of a refusal: typed, with a stable token. */
function refused(answer: { error?: Schemas["ErrorBody"]; response: Response }, status: number, code: string) {
  assert.equal(answer.response.status, status, JSON.stringify(answer.error));
  assert.ok(answer.error);
  assert.equal(answer.error.code, code);
  assert.ok(answer.error.request_id);
  return answer.error;
}

function etagOf(answer: { response: Response }): string {
  const etag = answer.response.headers.get("ETag");
  assert.ok(etag, "the answer has no ETag");
  return etag;
}

// Without a key, and with one.
refused(await anonymous.GET("/api/v1/teams"), 401, "unauthenticated");

const once = { params: { header: { "Idempotency-Key": "typescript-1" } } };
const team = done(await client.POST("/api/v1/teams", { body: { name: "TypeScript" }, ...once }), 201);
const again = done(await client.POST("/api/v1/teams", { body: { name: "TypeScript" }, ...once }), 201);
assert.equal(again.id, team.id, "a repeated request made a second team");
refused(await client.POST("/api/v1/teams", { body: { name: "Other" }, ...once }), 409, "idempotency_mismatch");

const owner = done(
  await client.POST("/api/v1/owners", { body: { name: "TypeScript", email: "ts@example.com", team_id: team.id } }), 201);
const profile = done(
  await client.POST("/api/v1/profiles", { body: { name: "TypeScript", max_ttl_seconds: 86400 * 30 } }), 201);

const certificate = (name: string): Schemas["CertificateInput"] => ({
  name,
  common_name: "client.example.com",
  sans: ["client.example.com"],
  tags: { language: "typescript" },
  owner_id: owner.id,
  team_id: team.id,
  issuer_id: "iss-local",
  renewal_policy_id: "rp-default",
  certificate_profile_id: profile.id,
});

// Create, and a refusal that names the member.
const ids: string[] = [];
for (let n = 0; n < 5; n += 1) {
  ids.push(done(await client.POST("/api/v1/certificates", { body: certificate(`typescript-${n}`) }), 201).id);
}
const first = ids[0];
assert.ok(first);
const bad = refused(
  await client.POST("/api/v1/certificates", { body: certificate("x".repeat(256)) }), 400, "validation_failed");
assert.deepEqual(bad.errors?.map((error) => error.field), ["name"]);

// Every row once, by cursor.
const seen: string[] = [];
let next: string | undefined;
do {
  const query = { team_id: team.id, per_page: 2, ...(next ? { cursor: next } : {}) };
  const page = done(await client.GET("/api/v1/certificates", { params: { query } }), 200);
  assert.equal(page.total, ids.length);
  for (const row of page.data) {
    assert.ok(row.id);
    seen.push(row.id);
  }
  next = page.next_cursor;
} while (next);
assert.deepEqual([...seen].sort(), [...ids].sort());

// Read, and read again only if it changed.
const path = { id: first };
const read = await client.GET("/api/v1/certificates/{id}", { params: { path } });
assert.equal(done(read, 200).tags["language"], "typescript");
const etag = etagOf(read);
const unchanged = await client.GET("/api/v1/certificates/{id}", { params: { path, header: { "If-None-Match": etag } } });
assert.equal(unchanged.response.status, 304);
refused(await client.GET("/api/v1/certificates/{id}", { params: { path: { id: "mc-none" } } }), 404, "not_found");

// Change: with the ETag it succeeds once.
const change = { params: { path, header: { "If-Match": etag } }, body: { environment: "staging" } };
const changed = await client.PUT("/api/v1/certificates/{id}", change);
assert.equal(done(changed, 200).environment, "staging");
assert.notEqual(etagOf(changed), etag);
refused(await client.PUT("/api/v1/certificates/{id}", change), 412, "precondition_failed");

// Issue, download the CA, revoke.
const csr_pem = readFileSync(setting("CLIENT_CHECK_CSR"), "ascii");
const issued = done(
  await client.POST("/api/v1/certificates/{id}/versions", { params: { path }, body: { csr_pem } }), 201);
// Under a profile that asks for approval it would be 202 and the request that waits.
assert.ok("serial_number" in issued);
const versions = done(await client.GET("/api/v1/certificates/{id}/versions", { params: { path } }), 200);
assert.deepEqual(versions.data.map((version) => version.serial_number), [issued.serial_number]);
const authority = await client.GET("/.well-known/pki/ca/{issuer_id}", {
  params: { path: { issuer_id: "iss-local" } },
  parseAs: "arrayBuffer",
});
const root = new X509Certificate(Buffer.from(done(authority, 200)));
assert.ok(new X509Certificate(issued.pem_chain).verify(root.publicKey), "the leaf is not signed by the published CA");
const reason: Schemas["RevocationInput"] = { reason: "superseded" };
done(await client.POST("/api/v1/certificates/{id}/revoke", { params: { path }, body: reason }), 200);
const after = done(await client.GET("/api/v1/certificates/{id}", { params: { path } }), 200);
assert.equal(after.status, "Revoked");

// Delete, from the leaves inward.
const ofTeam = { params: { path: { id: team.id } } };
refused(await client.DELETE("/api/v1/teams/{id}", ofTeam), 409, "dependency_blocked");
for (const id of ids) {
  const gone = await client.DELETE("/api/v1/certificates/{id}", { params: { path: { id } } });
  assert.equal(gone.response.status, 204);
}
const left = done(await client.GET("/api/v1/certificates", { params: { query: { team_id: team.id, include_archived: false } } }), 200);
assert.equal(left.total, 0);

const unused = done(await client.POST("/api/v1/teams", { body: { name: "TypeScript, unused" } }), 201);
const deleted = await client.DELETE("/api/v1/teams/{id}", { params: { path: { id: unused.id } } });
assert.equal(deleted.response.status, 204);

console.error(`typescript: round trip ok with ${ids.length} certificates`);
