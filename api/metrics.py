"""Figures for Prometheus. No label is a person, a key or a text."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

DECIDE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """The counters of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter(
            "prefroute_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "prefroute_request_seconds", "Seconds to the end of a response", ["route"], registry=registry
        )
        self.decisions = Counter(
            "prefroute_decisions", "Decisions by router and LLM", ["router", "llm"], registry=registry
        )
        self.decide = Histogram(
            "prefroute_decide_seconds", "Seconds a decision took", buckets=DECIDE_BUCKETS, registry=registry
        )
        self.failures = Counter("prefroute_provider_failures", "Failures of providers", ["kind"], registry=registry)
        self.tokens = Counter(
            "prefroute_tokens", "Tokens by LLM and direction", ["llm", "direction"], registry=registry
        )
        self.cost = Counter("prefroute_cost_dollars", "US dollars by LLM", ["llm"], registry=registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
