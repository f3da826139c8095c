"""What the dispatcher counts, in the process's default registry."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "switchroom_webhook_attempts",
    "Attempts to deliver a webhook, by what followed: delivered, held, aside, failed, skipped",
    ["outcome"],
)
LATENCY = Histogram(
    "switchroom_webhook_attempt_seconds",
    "From the start of an attempt to its end",
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 15),
)
# Upper bounds (s). `controller.statistics` reckons percentiles from them.
LAG_SECONDS = (
    *(0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0),
)
LAG = Histogram(
    "switchroom_webhook_lag_seconds",
    "From the change of state to the delivery of its webhook",
    buckets=LAG_SECONDS,
)
PENDING = Gauge("switchroom_webhooks_pending", "Webhooks in all outboxes, which every process counts alike")
PARTITIONS = Gauge("switchroom_webhook_partitions", "Partitions whose webhooks this process delivers")
