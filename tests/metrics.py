"""Reads /metrics."""

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """One answer of /metrics: `scrape("outcomes_total", field="login", outcome="OtpRequired")`."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples: Samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The value of a sample of ours; 0 when there is none."""
        return self._samples.get((f"graphql_mfa_{name}", frozenset(labels.items())), 0)

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of every sample of that name."""
        return [dict(labels) for found, labels in self._samples if found == f"graphql_mfa_{name}"]

    def names(self) -> set[str]:
        """Of every sample."""
        return {name for name, _ in self._samples}
