"""What a watcher sees: HTTP over real sockets, and the metrics read."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_S = 30.0
"""It only ends a test that has failed."""


class Seen(NamedTuple):
    status: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(url: str, path: str, method: str = "GET") -> Seen:
    """Ask once, on a connection of its own."""
    where = urlsplit(url)
    assert where.hostname
    connection = HTTPConnection(where.hostname, where.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return Seen(answer.status, answer.getheader("Content-Type", ""), answer.read())
    finally:
        connection.close()


def scrape(url: str) -> dict[str, float]:
    """Read all metrics: `name{label="value"}`, labels sorted, to the value."""
    seen = get(url, "/metrics")
    assert seen.status == 200
    return parse(seen.body)


def parse(body: bytes) -> dict[str, float]:
    """Read the text form of Prometheus."""
    return {
        _named(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def _named(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{told}}}" if told else name
