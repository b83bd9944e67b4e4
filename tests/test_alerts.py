"""Every metric, label and outcome that the alerts and the page for operators name exists."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import GraphQLUnionType, build_schema
from prometheus_client import CollectorRegistry

from graphql_mfa.metrics import Metrics

ROOT = Path(__file__).parent.parent
SERIES = re.compile(r"(graphql_mfa_[a-z_]+)(?:\{([^}]*)\})?")
SCHEMA = build_schema((ROOT / "schema.graphql").read_text())


@pytest.fixture(scope="module")
def series() -> set[str]:
    """The names under which the metrics are shown."""
    registry = CollectorRegistry()
    Metrics(registry)
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {f"{family.name}{suffix}" for family in registry.collect() for suffix in suffixes[family.type]}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_uses_existing_metrics(series: set[str], subtests: pytest.Subtests) -> None:
    members = {t.name for union in SCHEMA.type_map.values() if isinstance(union, GraphQLUnionType) for t in union.types}
    fields = set(SCHEMA.mutation_type.fields) if SCHEMA.mutation_type else set()
    for rule in rules():
        with subtests.test(rule["alert"]):
            found = SERIES.findall(rule["expr"])
            assert found
            assert {name for name, _ in found} <= series
            for _, labels in found:
                for label, values in re.findall(r'(\w+)=~?"([^"]*)"', labels):
                    known = {"outcome": members, "field": fields, "operation": fields, "status": {"5.."}}[label]
                    assert set(values.split("|")) <= known
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_an_alert_counts_every_guess() -> None:
    (alert,) = [rule for rule in rules() if rule["alert"] == "SignInGuessing"]
    guesses = set(re.findall(r'outcome=~"([^"]*)"', alert["expr"])[0].split("|"))
    assert guesses == {"InvalidCredentials", "InvalidOtp", "InvalidRecoveryCode", "ResetRejected"}


def test_the_operations_page_lists_exactly_the_existing_metrics(series: set[str]) -> None:
    shown = set(re.findall(r"`(graphql_mfa_[a-z_]+)`", (ROOT / "docs" / "operations.md").read_text()))
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series}
    assert shown == base
