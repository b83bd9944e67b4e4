/** A whole sign-in, twice: `npm start -- [URL] [--otp]`. Exits non-zero at the first unexpected answer. */

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";

import { URI } from "otpauth";

import { connect } from "./client.js";
import { ME } from "./operations.js";
import { logIn, logOut, refresh, register, verifyOtp, verifyRecoveryCode } from "./sign-in.js";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { otp: { type: "boolean" } } });
const ask = connect(positionals[0] ?? process.env.API ?? "http://127.0.0.1:8000/graphql");
const account = { username: `example-${randomUUID()}`, password: randomUUID() };

const { enrollment, challenge } = await register(ask, account);
console.log(`Registered ${account.username}.`);

const device = URI.parse(enrollment.otpauthUri); // an authenticator app, set up with the URI of the QR code
const readCode = () => device.generate();
const first = await verifyOtp(ask, challenge.token, readCode);
if (first.__typename !== "EnrollmentConfirmed") throw new Error("The first code did not confirm the enrollment.");
console.log(`Confirmed the enrollment, got ${first.recoveryCodes.length} recovery codes.`);

const { me } = await ask(ME, {}, first.tokens.accessToken);
console.log(`Signed in as ${present(me).username}.`);

await logOut(ask, first.tokens.accessToken);
console.log("Logged out.");

const { challenge: next } = await logIn(ask, account);
console.log("The password is right, the second factor is required.");

// A code is accepted once, so another sign-in this soon has to wait for the next one. A recovery code works at once.
const second = values.otp
  ? await verifyOtp(ask, next.token, readCode)
  : await verifyRecoveryCode(ask, next.token, present(first.recoveryCodes[0]));
console.log(`Signed in again, with a ${values.otp ? "one-time" : "recovery"} code.`);

const renewed = await refresh(ask, present(second.tokens.refreshToken));
console.log("Refreshed the session.");

const { sessionsEnded } = await logOut(ask, renewed.tokens.accessToken);
console.log(`Logged out: ${sessionsEnded} session ended.`);

function present<T>(value: T): NonNullable<T> {
  if (value === null || value === undefined) throw new Error("The server left something out.");
  return value;
}
