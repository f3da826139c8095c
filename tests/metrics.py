"""The metrics that the code has."""

from __future__ import annotations

import importlib
from pathlib import Path

from prometheus_client import REGISTRY, Metric

ROOT = Path(__file__).parents[1]
PACKAGES = ("controller", "web", "switchroom")
# What Prometheus reads of a metric, by its type.
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def families() -> list[Metric]:
    """All metrics of all modules, with what this process has counted so far."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "prometheus_client" in path.read_text():
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return list(REGISTRY.collect())


def names() -> set[str]:
    """As queries name them."""
    return {family.name + ending for family in families() for ending in ENDINGS.get(family.type, ("",))}
