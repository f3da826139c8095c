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
LAG = Histogram(
    "switchroom_webhook_lag_seconds",
    "From the change of state to the delivery of its webhook",
    buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600, 21600),
)
PARTITIONS = Gauge("switchroom_webhook_partitions", "Partitions whose webhooks this process delivers")
