"""A real Prometheus, on the configuration that docs/deploy has, scrapes a chain at work."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml

from scripts.chain.broker import free_port
from scripts.chain.processes import Tether
from scripts.chain.waiting import wait_until
from tests.e2e.chain import Chain, eventually
from tests.unit.deploy.files import PROMETHEUS, RULES, read, rules
from tests.unit.deploy.promtool import program
from tests.watching import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.metrics, pytest.mark.slow]

EVERY = "500ms"


class Prometheus:
    """One that runs, asked over its HTTP API."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str) -> Any:
        """What it answers; nothing while it does not answer yet."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", f"/api/v1/{path}")
            answer = connection.getresponse()
            return json.loads(answer.read())["data"] if answer.status == 200 else {}
        except OSError:
            return {}
        finally:
            connection.close()

    def value(self, expr: str) -> float | None:
        """The value of an expression that has one; None where it has none yet."""
        found = self.ask(f"query?query={quote(expr)}").get("result", ())
        return float(found[0]["value"][1]) if len(found) == 1 else None

    def shows(self, expr: str, value: float) -> bool:
        """Whether the expression has this value by now."""
        return self.value(expr) == value


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    """Run one in `folder` on our own configuration and rules, with these targets by job."""
    config = read(PROMETHEUS / "prometheus.yml")
    config["global"] = {"evaluation_interval": EVERY}
    for job in config["scrape_configs"]:
        job["scrape_interval"] = job["scrape_timeout"] = EVERY
        job["static_configs"][0]["targets"] = [targets[job["job_name"]]]
    folder.mkdir()
    (folder / RULES.name).write_bytes(RULES.read_bytes())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port, tether = free_port(), Tether()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            tether.wrap(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **tether.options
        )
    try:
        yield Prometheus(port)
    finally:
        process.kill()
        process.wait()


def test_prometheus_has_what_a_chain_at_work_shows_and_takes_every_rule(chain: Chain, tmp_path: Path) -> None:
    ports = {job: str(free_port()) for job in ("invd", "invcentral")}
    # It takes its targets up once in five seconds, so it is there first.
    with prometheus(tmp_path / "prometheus", {job: f"127.0.0.1:{port}" for job, port in ports.items()}) as seen:
        chain.start_daemon("--metrics-port", ports["invd"])
        chain.start_central("--metrics-port", ports["invcentral"])
        key = chain.clerk("reserve", "MOUSE-001=2", "-q").out.strip()
        assert chain.clerk("confirm", key).code == 0
        assert chain.clerk("reserve", "MOUSE-001=99").code != 0
        head_seq = chain.clerk("status", "-o", "json").json["head_seq"]
        eventually(lambda: seen.value("sum(invctl_events_applied_total)") == head_seq)

        def targets() -> list[tuple[str, str]]:
            return sorted((each["labels"]["job"], each["health"]) for each in seen.ask("targets")["activeTargets"])

        eventually(lambda: targets() == [("invcentral", "up"), ("invd", "up")])
        eventually(lambda: seen.value('invctl_outbox_pending{store="downtown"}') == 0)
        # What each daemon knows of itself is the same, seen from both sides.
        for expr, expected in {
            'invd_acked_seq{job="invd"}': head_seq,
            'invcentral_store_applied_seq{job="invcentral"}': head_seq,
            "invctl_end_to_end_seconds_count": head_seq,
            'invctl_end_to_end_seconds_bucket{le="900.0"}': head_seq - 6,  # the rest is an hour old
            'invd_reservations_total{outcome="created"}': 1,
            'invd_reservations_total{outcome="confirmed"}': 1,
            'invd_refusals_total{reason="not_enough_stock"}': 1,
            "invcentral_store_open_reservations": 0,
            "count(invctl_ready == 1)": 2,
            'count(invctl_breaker_state{state="closed"} == 1)': 3,
        }.items():
            assert wait_until(partial(seen.shows, expr, expected), timeout_s=PATIENCE_S), expr

        def judged() -> dict[str, tuple[str, str]]:
            groups = seen.ask("rules")["groups"]
            return {each["name"]: (each["health"], each.get("lastError", "")) for g in groups for each in g["rules"]}

        eventually(lambda: "unknown" not in {health for health, _ in judged().values()})
        assert judged() == {rule["alert"]: ("ok", "") for rule in rules()}
        # Nothing is wrong, so nobody is told of anything.
        assert [each for each in seen.ask("alerts")["alerts"] if each["state"] == "firing"] == []
