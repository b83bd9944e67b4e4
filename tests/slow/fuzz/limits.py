"""Settings that let an example come to the use case, however many came before it."""

MANY = 1_000_000_000

NO_LIMITS = dict.fromkeys(
    [
        "registration_attempts",
        "login_attempts",
        "login_address_attempts",
        "login_address_total",
        "login_stranger_attempts",
        "refresh_attempts",
        "otp_failures_before_disabling",
        "account_changes",
    ],
    MANY,
)
