// A decent OpenID provider for the end-to-end tests: npm's oidc-provider over TLS. Who signs in is told by the cookie
// `account`, in place of a form; everything else is the provider's own.
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const settings = process.env;
const require = createRequire(pathToFileURL(`${settings.PEER_MODULES}/`));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);
const issuer = `https://localhost:${settings.PEER_PORT}`;
const groups = { ada: ['eng', 'pki'], bob: ['visitors'] };

// Keys of its own at each start: a restart is a rotation.
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: `key-${process.pid}` };

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'certctl',
    client_secret: settings.PEER_SECRET,
    redirect_uris: [`${settings.PEER_CLIENT}/auth/oidc/callback`],
    post_logout_redirect_uris: [`${settings.PEER_CLIENT}/login`],
    backchannel_logout_uri: `${settings.PEER_CLIENT}/auth/oidc/back-channel-logout`,
    backchannel_logout_session_required: true,
  }],
  jwks: { keys: [key] },
  cookies: { keys: ['one', 'two'] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], groups: ['groups'] },
  // Claims go into the ID token, as company providers are set up.
  conformIdTokenClaims: false,
  pkce: { methods: ['S256'], required: () => true },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, name: id, email: `${id}@corp.example`, email_verified: true, groups: groups[id] ?? [],
    }),
  }),
});
provider.on('server_error', (_, error) => console.error(error));
provider.on('backchannel.error', (_, error) => console.error('back-channel logout:', error));

const answer = provider.callback();
const account = (request) => /(?:^|; )account=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? 'ada';

async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: account(request) } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

createServer({ cert: readFileSync(settings.PEER_CERT), key: readFileSync(settings.PEER_KEY) }, (request, response) => {
  if (request.url.startsWith('/interaction/')) {
    interact(request, response).catch((error) => { console.error(error); response.writeHead(500).end(); });
  } else {
    answer(request, response);
  }
}).listen(Number(settings.PEER_PORT), '127.0.0.1', () => console.log('ready'));
