"""What the settings say of how payments are worked on."""

from paygate.domain.addresses import Reach
from paygate.flows.context import Policy
from paygate.settings import Settings


def policy_of(settings: Settings) -> Policy:
    production = settings.environment == "production"
    return Policy(
        max_amount=settings.max_amount,
        provider_timeout_seconds=settings.provider_timeout.total_seconds(),
        intent_ttl=settings.intent_ttl,
        idempotency_ttl=settings.idempotency_ttl,
        lock_ttl=settings.lock_ttl,
        authentication_ttl=settings.authentication_ttl,
        bank_transfer_ttl=settings.bank_transfer_ttl,
        resend_window=settings.resend_window,
        production=production,
        support_refund_limit=settings.support_refund_limit,
        refund_approval_above=settings.refund_approval_above,
        events_kept=settings.retention_events,
        audit_kept=settings.retention_audit,
        exclusive_account=settings.exclusive_account,
        numeric_references=settings.numeric_references,
        settlement_window=settings.settlement_window,
        fee_rules=settings.fee_rules,
        public_url=settings.public_url,
        # In production a host that is not named is refused; so all are, where none is named.
        return_url_hosts=settings.return_url_hosts or (() if production else None),
    )


def reach_of(settings: Settings) -> Reach:
    """Which addresses merchants and operators may have requests sent to."""
    return Reach(
        private=settings.webhook_allowed_networks,
        loopback=settings.environment == "development",
    )
