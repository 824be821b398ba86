"""The jobs that run by the clock. Each is safe to run at any time, on any node, twice at once."""

from typing import Final, NamedTuple


class ScheduledJob(NamedTuple):
    """`cron` in five fields, UTC; one node of all runs each occurrence."""

    name: str
    cron: str
    summary: str


SCHEDULE: Final = (
    ScheduledJob(
        "expire-intents",
        "*/5 * * * *",
        "Close payments that nobody confirmed, authenticated or funded in time.",
    ),
    ScheduledJob(
        "watch-authorizations",
        "*/15 * * * *",
        "Alert for holds that lapse within 24 hours; ask the provider about those that did.",
    ),
    ScheduledJob(
        "watch-disputes",
        "*/5 * * * *",
        "Alert for deadlines of evidence: within 48 hours, within 12, and missed.",
    ),
    ScheduledJob(
        "resolve-attempts",
        "* * * * *",
        "Find out what became of attempts whose outcome is not known.",
    ),
    ScheduledJob(
        "watch-provider",
        "* * * * *",
        "Ask the provider whose account our key is of, and hold its clock against ours.",
    ),
    ScheduledJob(
        "close-alerts",
        "*/5 * * * *",
        "Close alerts whose cause is gone; count what came up and whose job was lost.",
    ),
    ScheduledJob(
        "send-alerts",
        "* * * * *",
        "Send open alerts to the channels of PAYGATE_ALERT_URLS that have not taken them yet.",
    ),
    ScheduledJob(
        "apply-provider-events",
        "* * * * *",
        "Apply provider events that were received and that no job came to apply.",
    ),
    ScheduledJob(
        "reconcile-provider",
        "*/15 * * * *",
        "Hold payments and events against the provider's lists; heal or report what differs.",
    ),
    ScheduledJob(
        "settle-payouts",
        "23 * * * *",
        "Match the lines of payouts with our records; report what differs, is late or missing.",
    ),
    ScheduledJob(
        "watch-jobs",
        "*/15 * * * *",
        "Alert for jobs that have been in the queue for an hour.",
    ),
    ScheduledJob(
        "watch-webhook-endpoints",
        "*/15 * * * *",
        "Alert for webhook endpoints that fail; disable those that have for three days.",
    ),
    ScheduledJob(
        "purge-idempotency-keys",
        "17 * * * *",
        "Delete finished keys past PAYGATE_IDEMPOTENCY_TTL; alert for those never finished.",
    ),
    ScheduledJob(
        "housekeeping",
        "47 * * * *",
        "Delete what is older than PAYGATE_RETENTION_EVENTS; tell of months and keys that run out.",
    ),
    ScheduledJob(
        "reseal-records",
        "*/5 * * * *",
        "Seal records anew after a rotation of keys, as long as some are left under an older one.",
    ),
    ScheduledJob(
        "seal-audit-log",
        "27 * * * *",
        "Chain audit entries that the worker's sealer passed by, such as those that did not open.",
    ),
    ScheduledJob(
        "verify-audit-log",
        "57 2 * * *",
        "Verify what is new in the audit log, once a week the whole; alert for what was changed.",
    ),
    ScheduledJob(
        "verify-ledger",
        "37 3 * * *",
        "Recompute all payments against the ledger and the provider's list; alert for differences.",
    ),
)
