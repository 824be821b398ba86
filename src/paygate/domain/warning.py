"""Warnings: what stops no process from its work, and what somebody should look at."""

from enum import StrEnum

import msgspec


class WarningCode(StrEnum):
    """What readiness may warn of, stable."""

    UNREACHABLE = "provider_unreachable"
    ACCOUNT_UNREADABLE = "provider_account_unreadable"
    ACCOUNT_CHANGED = "provider_account_changed"
    PIN_UNREADABLE = "provider_pin_unreadable"
    CLOCK_SKEW = "clock_skew"
    MONTHS_RUN_OUT = "months_run_out"
    ALERT_CHANNEL_FAILING = "alert_channel_failing"
    AUDIT_NOT_SEALED = "audit_not_sealed"
    AUDIT_NOT_VERIFIED = "audit_not_verified"
    AUDIT_NOT_TOLD = "audit_not_told_outside"
    DATABASE_ROLE = "database_role_too_mighty"


class Warned(msgspec.Struct, frozen=True):
    """One warning, in words for people."""

    code: WarningCode
    message: str
