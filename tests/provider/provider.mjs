// A certified OpenID provider for the integration tests, so that our own misunderstandings show.
//
// Says `listening PORT` once it answers at http://localhost:PORT, and ends when its input closes. The one argument is
// JSON: redirect_uris, post_logout_redirect_uris. Sign in at its page as alice, bob or carol, with any password.

import http from 'node:http';
import crypto from 'node:crypto';
import { Provider } from 'oidc-provider';

const asked = JSON.parse(process.argv[2] ?? '{}');

const people = {
  alice: { name: 'Alice Example', preferred_username: 'alice', groups: ['staff', 'admins', 'staff'] },
  bob: { name: 'Bob Example', preferred_username: 'bob', groups: ['staff'] },
  carol: { name: 'Carol Example', preferred_username: 'carol', groups: [] },
};

const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'first' };

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'bailiwick',
      client_secret: 'a-secret-that-only-the-tests-use',
      redirect_uris: asked.redirect_uris ?? ['http://localhost/sign-in/callback'],
      post_logout_redirect_uris: asked.post_logout_redirect_uris ?? [],
      id_token_signed_response_alg: 'ES256',
      response_types: ['code'],
      require_auth_time: true,
      grant_types: ['authorization_code'],
    }],
    jwks: { keys: [key] },
    cookies: { keys: [crypto.randomBytes(32).toString('hex')] },
    pkce: { required: () => true },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], groups: ['groups'] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    findAccount: (_ctx, id) => people[id] && {
      accountId: id,
      claims: () => ({ sub: id, ...people[id] }),
    },
    // Everybody here has agreed already: consent is not what is tested.
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid profile groups');
      await grant.save();
      return grant;
    },
  });
  server.on('request', provider.callback());
  console.log(`listening ${server.address().port}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
