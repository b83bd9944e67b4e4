/** Every operation of this client. `npm run generate` types each by its text. */

import { graphql } from "./generated/gql.js";

export const REGISTER = graphql(`
  mutation Register($input: RegisterUserInput!) {
    registerUser(input: $input) {
      __typename
      ... on RegisterUserSuccess { enrollment { otpauthUri } challenge { token } }
      ... on InvalidInput { fields { field message } }
      ... on UserError { message }
    }
  }
`);

export const LOG_IN = graphql(`
  mutation LogIn($input: LoginInput!) {
    login(input: $input) {
      __typename
      ... on OtpRequired { challenge { token } }
      ... on UserError { message }
    }
  }
`);

export const VERIFY_OTP = graphql(`
  mutation VerifyOtp($input: VerifyOtpInput!) {
    verifyOtp(input: $input) {
      __typename
      ... on SignInSuccess { tokens { accessToken refreshToken } }
      ... on EnrollmentConfirmed { recoveryCodes }
      ... on OtpAlreadyUsed { retryAfter }
      ... on UserError { message }
    }
  }
`);

export const VERIFY_RECOVERY_CODE = graphql(`
  mutation VerifyRecoveryCode($input: VerifyRecoveryCodeInput!) {
    verifyRecoveryCode(input: $input) {
      __typename
      ... on SignInSuccess { tokens { accessToken refreshToken } }
      ... on UserError { message }
    }
  }
`);

export const REFRESH = graphql(`
  mutation Refresh($input: RefreshSessionInput!, $retryKey: String!) {
    refreshSession(input: $input, retryKey: $retryKey) {
      __typename
      ... on SignInSuccess { tokens { accessToken refreshToken } }
      ... on UserError { message }
    }
  }
`);

export const LOG_OUT = graphql(`
  mutation LogOut {
    logout {
      __typename
      ... on LogoutSuccess { sessionsEnded }
      ... on UserError { message }
    }
  }
`);

export const ME = graphql(`
  query Me {
    me { username mfaEnabled recoveryCodesLeft }
  }
`);
