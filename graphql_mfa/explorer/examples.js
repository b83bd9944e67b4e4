"use strict";

// One tab each, in the order of a first visit. GraphiQL titles a tab by its operation's name.
// explorer.js fills in {{challengeToken}} and the like when an operation is sent.
const examples = [
  {
    query: `# Create an account. Scan the QR code with an
# authenticator app, or run the command
#     .venv/bin/graphql-mfa totp SECRET
# with the secret of the result: both show codes.
# Next: put a code into tab 2.
mutation Step1_Register($input: RegisterUserInput!) {
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
    variables: { input: { username: "alice", password: "four-otters-row-upstream" } },
  },
  {
    query: `# Put the code into the variables, as otp. The first
# one turns your second factor on and signs you in.
# The recovery codes are shown only now: keep them.
# Next: tab 5 shows who you are.
mutation Step2_FirstCode($input: VerifyOtpInput!) {
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
    query: `# Later visits start here: name and password, those
# of tab 1 if you registered just now.
# Where enrollmentPending is true, restartEnrollment
# gives you a new secret.
# Next: a code, in tab 4.
mutation Step3_LogIn($input: LoginInput!) {
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
    variables: { input: { username: "{{username|alice}}", password: "{{password|four-otters-row-upstream}}" } },
  },
  {
    query: `# A code counts once: wait for the app's next one.
# No app at hand? verifyRecoveryCode takes one of
# your recovery codes instead.
mutation Step4_NextCode($input: VerifyOtpInput!) {
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
    query: `# The access token travels in a header: see Headers,
# below. Without a valid one, me is null.
query Step5_WhoAmI {
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
    query: `# What an account page shows. ids go into
# revokeSession, renameTotpDevice, removeTotpDevice.
query Step6_Account {
  me {
    username
    recoveryCodesLeft
    recoveryCodesLow
    totpDevices { id name confirmed lastUsedAt }
    sessions { id current userAgent ipAddress lastUsedAt factors }
    securityEvents(first: 10) { id kind at ipAddress userAgent }
  }
}`,
  },
  {
    query: `# What is sensitive wants a second factor verified
# within five minutes, else it answers
# ReauthenticationRequired: then send a new code here.
mutation Step7_Reauthenticate($input: ReauthenticateInput!) {
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
    query: `# A second authenticator app: scan the QR code with
# it. Next: its first code, in tab 9.
mutation Step8_AddApp($input: AddTotpDeviceInput!) {
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
    query: `# From now on either app signs you in.
mutation Step9_ConfirmApp($input: ConfirmTotpDeviceInput!) {
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
    query: `# All other sessions and open sign-ins end.
mutation Step10_ChangePassword($input: ChangePasswordInput!) {
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
    query: `# An access token lasts minutes. A refresh token
# buys a new pair, once: an old one used again ends
# the session.
mutation Step11_Refresh($input: RefreshSessionInput) {
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
# your sessions. Then me, in tab 5, is null again.
mutation Step12_LogOut($everywhere: Boolean!) {
  logout(everywhere: $everywhere) {
    __typename
    ... on LogoutSuccess { sessionsEnded }
    ... on NotAuthenticated { reason }
    ... on UserError { message }
  }
}`,
    variables: { everywhere: false },
  },
].map(({ query, variables }) => ({ query, variables: variables && JSON.stringify(variables, null, 2) }));
