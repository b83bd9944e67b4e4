"""What happens to an account and is remembered."""

from enum import StrEnum


class SecurityEventKind(StrEnum):
    """What an operator did."""

    IMPORTED_BY_OPERATOR = "IMPORTED_BY_OPERATOR"
    UNLOCKED_BY_OPERATOR = "UNLOCKED_BY_OPERATOR"
    MFA_RESET_BY_OPERATOR = "MFA_RESET_BY_OPERATOR"
    DISABLED_BY_OPERATOR = "DISABLED_BY_OPERATOR"
    ENABLED_BY_OPERATOR = "ENABLED_BY_OPERATOR"
    DELETED_BY_OPERATOR = "DELETED_BY_OPERATOR"
