// `node verify-token.js SERVER ISSUER AUDIENCE TOKEN` prints, for each library, the algorithm with which it verified an
// access token, or why it refused. Only the issuer is known beforehand; its host is SERVER for the length of this script.
import { createPublicKey } from "node:crypto";
import * as jose from "jose";
import jsonwebtoken from "jsonwebtoken";
import * as oauth from "oauth4webapi";

const [server, issuer, audience, token] = process.argv.slice(2);
const header = jose.decodeProtectedHeader(token);
const fetchFromServer = (url, options) => fetch(String(url).replace(new URL(issuer).origin, server), options);

const verify = {
  async oauth4webapi() {
    const options = { algorithm: "oauth2", [oauth.customFetch]: fetchFromServer };
    const response = await oauth.discoveryRequest(new URL(issuer), options);
    const as = await oauth.processDiscoveryResponse(new URL(issuer), response);
    const request = new Request("https://shop.example/", { headers: { Authorization: `Bearer ${token}` } });
    return oauth.validateJwtAccessToken(as, request, audience, { [oauth.customFetch]: fetchFromServer });
  },
  async jose() {
    const keys = jose.createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { [jose.customFetch]: fetchFromServer });
    const options = { issuer, audience, typ: "at+jwt", algorithms: ["EdDSA", "ES256"] };
    return (await jose.jwtVerify(token, keys, options)).payload;
  },
  async jsonwebtoken() {
    const { keys } = await (await fetchFromServer(`${issuer}/.well-known/jwks.json`)).json();
    const key = createPublicKey({ key: keys.find(({ kid }) => kid === header.kid), format: "jwk" });
    return jsonwebtoken.verify(token, key, { issuer, audience, algorithms: ["EdDSA", "ES256"] });
  },
};

const results = {};
for (const [library, run] of Object.entries(verify)) {
  try {
    const claims = await run();
    results[library] = claims.sid ? header.alg : "no claims";
  } catch (error) {
    results[library] = `refused: ${error.message}`;
  }
}
console.log(JSON.stringify(results));
