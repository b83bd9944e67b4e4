"use strict";

// A name that is free at the next visit too.
const username = `alice-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

// One tab each, in the order of a first visit. GraphiQL titles a tab by its operation's name.
// explorer.js fills in {{challengeToken}} and the like when an operation is sent. At 1280 pixels, 50 columns are visible.
const examples = [
  {
    query: `# A first visit: 15 tabs, from left to right.
# Press the pink button ▶ to run a tab.
# This one creates an account. Scan the QR code
# below the answer with an authenticator app, or
# run the command beside it. Next tab: FirstCode.
mutation Register($input: RegisterUserInput!) {
  registerUser(input: $input) {
    __typename
    ... on RegisterUserSuccess {
      challenge { token expiresIn factors }
      enrollment { secret otpauthUri qrCode }
      user { id username mfaEnabled }
    }
    ... on InvalidInput {
      fields { field code message }
    }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { username, password: "four-otters-row-upstream" } },
  },
  {
    query: `# Below, replace 123456 with the code that your
# app shows. {{challengeToken}} is filled in by
# this page from the last answer that had a
# challenge.
# The first code turns the second factor on and
# signs you in. The recovery codes are shown only
# once.
mutation FirstCode($input: VerifyOtpInput!) {
  verifyOtp(input: $input) {
    __typename
    ... on EnrollmentConfirmed { recoveryCodes }
    ... on SignInSuccess {
      user { id username mfaEnabled }
      tokens {
        accessToken
        accessTokenExpiresIn
        refreshToken
        refreshTokenExpiresAt
      }
    }
    ... on InvalidOtp {
      attemptsLeft
      clockBehindSeconds
    }
    ... on OtpAlreadyUsed { retryAfter }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { challengeToken: "{{challengeToken}}", otp: "123456" } },
  },
  {
    query: `# You are signed in: this page sends the access
# token in a header (see Headers, below). Without
# a valid token, me is null.
query WhoAmI {
  me {
    id
    username
    createdAt
    mfaEnabled
    recoveryCodesLeft
  }
}`,
  },
  {
    query: `# What an account page shows. revokeSession,
# renameTotpDevice and removeTotpDevice take the
# ids.
query Account {
  me {
    username
    recoveryCodesLeft
    recoveryCodesLow
    totpDevices { id name confirmed lastUsedAt }
    passkeys { id name lastUsedAt }
    sessions {
      id
      current
      userAgent
      ipAddress
      lastUsedAt
      factors
    }
    securityEvents(first: 10) {
      id
      kind
      at
      ipAddress
      userAgent
    }
  }
}`,
  },
  {
    query: `# Add a second authenticator app, and scan the new
# QR code with it. Next tab: ConfirmApp.
# ReauthenticationRequired? Your last code is more
# than five minutes old: run the tab
# Reauthenticate, then this one again.
mutation AddApp($input: AddTotpDeviceInput!) {
  addTotpDevice(input: $input) {
    __typename
    ... on TotpDeviceAdded {
      device { id name confirmed }
      enrollment { secret otpauthUri qrCode }
    }
    ... on InvalidInput {
      fields { field code message }
    }
    ... on ReauthenticationRequired { factors }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { name: "Tablet" } },
  },
  {
    query: `# Replace 123456 with a code of the second app,
# the one that you have just added. From then on,
# codes of both apps sign you in.
mutation ConfirmApp(
  $input: ConfirmTotpDeviceInput!
) {
  confirmTotpDevice(input: $input) {
    __typename
    ... on TotpDeviceConfirmed {
      user { totpDevices { id name confirmed } }
    }
    ... on InvalidOtp {
      attemptsLeft
      clockBehindSeconds
    }
    ... on OtpAlreadyUsed { retryAfter }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { id: "{{deviceId}}", otp: "123456" } },
  },
  {
    query: `# Replace all recovery codes, a sensitive
# operation. Five minutes after your last code the
# answer is ReauthenticationRequired: then run the
# next tab, Reauthenticate, and this one again.
mutation NewRecoveryCodes {
  regenerateRecoveryCodes {
    __typename
    ... on RecoveryCodes { recoveryCodes }
    ... on ReauthenticationRequired {
      factors
      message
    }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
  },
  {
    query: `# Verify a second factor again: sensitive
# operations then work for five minutes. Replace
# 123456 with a code that you have not used yet,
# from the app or the command of the tab Register.
mutation Reauthenticate(
  $input: ReauthenticateInput!
) {
  reauthenticate(input: $input) {
    __typename
    ... on Reauthenticated {
      accessToken
      accessTokenExpiresIn
    }
    ... on InvalidOtp { attemptsLeft }
    ... on OtpAlreadyUsed { retryAfter }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { otp: "123456" } },
  },
  {
    query: `# Change the password, a sensitive operation too.
# All other sessions and unfinished sign-ins end.
mutation ChangePassword(
  $input: ChangePasswordInput!
) {
  changePassword(input: $input) {
    __typename
    ... on PasswordChanged { sessionsEnded }
    ... on InvalidInput {
      fields { field code message }
    }
    ... on ReauthenticationRequired { factors }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: {
      input: { currentPassword: "{{password|four-otters-row-upstream}}", newPassword: "five-herons-wade-downstream" },
    },
  },
  {
    query: `# An access token is valid for minutes. The
# refresh token gets a new pair, once: using an
# old one again ends the session.
mutation Refresh($input: RefreshSessionInput) {
  refreshSession(input: $input) {
    __typename
    ... on SignInSuccess {
      user { username }
      tokens {
        accessToken
        accessTokenExpiresIn
        refreshToken
        refreshTokenExpiresAt
      }
    }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { refreshToken: "{{refreshToken}}" } },
  },
  {
    query: `# End this session; with everywhere: true, all of
# your sessions. Run the tab WhoAmI again: me is
# null.
mutation LogOut($everywhere: Boolean!) {
  logout(everywhere: $everywhere) {
    __typename
    ... on LogoutSuccess { sessionsEnded }
    ... on NotAuthenticated { reason }
    ... on UserError { message }
  }
}`,
    variables: { everywhere: false },
  },
  {
    query: `# Later visits start here. Below, {{username|…}}
# is the name that you registered on this page, or
# after a reload the text behind the bar.
# The right password opens a challenge. Next tab:
# NextCode, or RecoveryCode if the app is not at
# hand.
mutation LogIn($input: LoginInput!) {
  login(input: $input) {
    __typename
    ... on OtpRequired {
      enrollmentPending
      challenge {
        token
        expiresIn
        attemptsLeft
        factors
        otpRetryAfter
      }
    }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: {
      input: { username: `{{username|${username}}}`, password: "{{password|four-otters-row-upstream}}" },
    },
  },
  {
    query: `# Replace 123456 with a code that you have not
# used yet: each is accepted once, so wait until
# the app shows the next one. Without a phone, run
# .venv/bin/graphql-mfa totp SECRET, with the
# secret in the answer of the tab Register.
mutation NextCode($input: VerifyOtpInput!) {
  verifyOtp(input: $input) {
    __typename
    ... on SignInSuccess {
      user { id username recoveryCodesLeft }
      tokens {
        accessToken
        accessTokenExpiresIn
        refreshToken
        refreshTokenExpiresAt
      }
    }
    ... on InvalidOtp {
      attemptsLeft
      clockBehindSeconds
    }
    ... on OtpAlreadyUsed { retryAfter }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { challengeToken: "{{challengeToken}}", otp: "123456" } },
  },
  {
    query: `# Sign in without the app: run the tab LogIn
# again, then this one. {{recoveryCode}} is filled
# in with the next code of your last list.
mutation RecoveryCode(
  $input: VerifyRecoveryCodeInput!
) {
  verifyRecoveryCode(input: $input) {
    __typename
    ... on SignInSuccess {
      user { id username recoveryCodesLeft }
      tokens {
        accessToken
        accessTokenExpiresIn
        refreshToken
        refreshTokenExpiresAt
      }
    }
    ... on InvalidRecoveryCode { attemptsLeft }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: { input: { challengeToken: "{{challengeToken}}", recoveryCode: "{{recoveryCode}}" } },
  },
  {
    query: `# The password is forgotten: a code of the app and
# a recovery code set a new one. Replace 123456
# with a code that you have not used yet. All
# sessions end; run the tab LogIn to sign in
# again.
mutation ResetPassword(
  $input: ResetPasswordInput!
) {
  resetPassword(input: $input) {
    __typename
    ... on PasswordChanged { sessionsEnded }
    ... on InvalidInput {
      fields { field code message }
    }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}`,
    variables: {
      input: {
        username: `{{username|${username}}}`,
        otp: "123456",
        recoveryCode: "{{recoveryCode}}",
        newPassword: "six-badgers-dig-inland",
      },
    },
  },
].map(({ query, variables }) => ({ query, variables: variables && JSON.stringify(variables, null, 2) }));
