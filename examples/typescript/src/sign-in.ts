/** The mutations. Each function returns the success, and throws the message for the user for every other outcome. */

import { setTimeout } from "node:timers/promises";

import type { Ask } from "./client.js";
import type { LoginInput, RegisterUserInput } from "./generated/graphql.js";
import { LOG_IN, LOG_OUT, REFRESH, REGISTER, VERIFY_OTP, VERIFY_RECOVERY_CODE } from "./operations.js";

export async function register(ask: Ask, input: RegisterUserInput) {
  const { registerUser: result } = await ask(REGISTER, { input });
  switch (result.__typename) {
    case "RegisterUserSuccess":
      return result;
    case "InvalidInput":
      throw new Error(result.fields.map(({ field, message }) => `${field}: ${message}`).join("\n"));
    case "UsernameTaken":
    case "RegistrationClosed":
    case "RegistrationRefused":
    case "RateLimited":
      throw new Error(result.message);
    default:
      throw unforeseen(result);
  }
}

export async function logIn(ask: Ask, input: LoginInput) {
  const { login: result } = await ask(LOG_IN, { input });
  switch (result.__typename) {
    case "OtpRequired":
      return result;
    case "InvalidCredentials":
    case "RateLimited":
      throw new Error(result.message);
    default:
      throw unforeseen(result);
  }
}

/** `readCode` stands for the user, who reads a code in the authenticator app. */
export async function verifyOtp(ask: Ask, challengeToken: string, readCode: () => string) {
  for (;;) {
    const { verifyOtp: result } = await ask(VERIFY_OTP, { input: { challengeToken, otp: readCode() } });
    switch (result.__typename) {
      case "EnrollmentConfirmed":
      case "SignedIn":
        return result;
      case "OtpAlreadyUsed":
        console.log(`${result.message} (${result.retryAfter} s)`);
        await setTimeout(result.retryAfter * 1000);
        continue;
      case "InvalidOtp":
      case "ChallengeExpired":
      case "FactorDisabled":
      case "RateLimited":
        throw new Error(result.message);
      default:
        throw unforeseen(result);
    }
  }
}

export async function verifyRecoveryCode(ask: Ask, challengeToken: string, recoveryCode: string) {
  const { verifyRecoveryCode: result } = await ask(VERIFY_RECOVERY_CODE, { input: { challengeToken, recoveryCode } });
  switch (result.__typename) {
    case "SignedIn":
      return result;
    case "InvalidRecoveryCode":
    case "ChallengeExpired":
    case "RateLimited":
      throw new Error(result.message);
    default:
      throw unforeseen(result);
  }
}

/** If the answer is lost, the request is sent again: the same token with the same key gets the same refresh token. */
export async function refresh(ask: Ask, refreshToken: string) {
  const variables = { input: { refreshToken }, retryKey: crypto.randomUUID() };
  const send = () => ask(REFRESH, variables);
  const { refreshSession: result } = await send().catch(send);
  switch (result.__typename) {
    case "SignedIn":
      return result;
    case "SessionExpired":
    case "InvalidInput":
    case "RateLimited":
      throw new Error(result.message);
    default:
      throw unforeseen(result);
  }
}

export async function logOut(ask: Ask, accessToken: string) {
  const { logout: result } = await ask(LOG_OUT, {}, accessToken);
  switch (result.__typename) {
    case "LogoutSuccess":
      return result;
    case "NotAuthenticated":
      throw new Error(result.message);
    default:
      throw unforeseen(result);
  }
}

/**
 * An outcome that joined the union after this client was built.
 *
 * `never` makes the compiler name it as soon as the types are generated from the newer schema. Until then the server's
 * message, which every failure has, tells the user what to do.
 */
function unforeseen(result: never): Error {
  const { __typename, message = __typename } = result as { __typename: string; message?: string };
  return new Error(message);
}
