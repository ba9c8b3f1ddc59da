"""Both daemons as those see them who watch: real processes, a real broker that goes away, HTTP over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from scripts.chain.broker import free_port
from tests.e2e.chain import Chain, eventually
from tests.proxy import Proxy
from tests.servers import real_broker
from tests.unit.deploy.files import ours_in, rules, shown_exprs
from tests.watching import PATIENCE_S, Seen, get, scrape

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk
    from tests.servers import Broker

pytestmark = pytest.mark.metrics

PASSWORD = "hush/ed@1"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def ready(url: str) -> Seen:
    return get(url, "/readyz")


def test_a_store_and_head_office_at_work(chain: Chain) -> None:
    invd, office = chain.start_daemon(), chain.start_central()
    eventually(lambda: scrape(invd)['invd_acked_seq{store="downtown"}'] == 6)
    seen = scrape(invd)
    expected: dict[str, float] = {
        'invd_head_seq{store="downtown"}': 6,
        'invctl_outbox_pending{store="downtown"}': 0,
        'invctl_outbox_oldest_age_seconds{store="downtown"}': 0,
        'invd_link_state{state="up",store="downtown"}': 1,
        'invd_link_state{state="unknown",store="downtown"}': 0,
        'invd_suspect_skus{store="downtown"}': 0,
        'invd_reservations_total{outcome="created",store="downtown"}': 0,
        'invctl_breaker_state{breaker="bus",state="closed"}': 1,
        "invctl_ready": 1,
        "invctl_bus_subscriptions_total": 1,
    }
    assert {name: seen[name] for name in expected} == expected
    assert 0 <= seen['invd_last_ack_age_seconds{store="downtown"}'] < 3600
    assert seen['invd_disk_free_bytes{store="downtown"}'] > 0
    assert seen["invctl_bus_published_messages_total"] >= 2
    assert seen["process_cpu_seconds_total"] > 0
    eventually(lambda: scrape(office).get('invcentral_store_applied_seq{store="downtown"}') == 6)
    seen = scrape(office)
    expected = {
        "invctl_events_applied_total": 6,
        "invcentral_apply_seconds_count": seen["invcentral_transactions_total"],
        "invctl_end_to_end_seconds_count": 6,
        "invcentral_shards_held": 1,
        "invcentral_centrals": 1,
        'invcentral_shard_position{shard="0"}': 6,
        'invcentral_stores{status="admitted"}': 1,
        'invcentral_stores{status="waiting"}': 0,
        'invcentral_store_lag_events{store="downtown"}': 0,
        'invcentral_store_suspect_skus{store="downtown"}': 0,
        'invcentral_lease_calls_total{call="renew",outcome="denied"}': 0,
        'invctl_breaker_state{breaker="leases",state="closed"}': 1,
        "invctl_ready": 1,
    }
    assert {name: seen[name] for name in expected} == expected
    assert seen['invcentral_frames_total{kind="events"}'] >= 1
    assert seen["invcentral_disk_free_bytes"] > 0
    # A lease is renewed by the same call, where all this takes longer than a third of one; it is not denied, or lost.
    assert seen['invcentral_lease_calls_total{call="acquire",outcome="granted"}'] >= 1
    assert seen['invcentral_lease_calls_total{call="acquire",outcome="denied"}'] == 0
    assert sum(value for name, value in seen.items() if name.startswith("invcentral_leases_lost_total")) == 0
    assert not [name for name in seen if "_created" in name]
    # These were written an hour ago.
    assert seen['invctl_end_to_end_seconds_bucket{le="60.0"}'] == 0
    assert 0 <= seen['invcentral_store_heard_age_seconds{store="downtown"}'] < 3600
    for url in (invd, office):
        assert get(url, "/livez").status == 200
        assert urlsplit(url).hostname == "127.0.0.1"
    assert ready(invd).json == {"ready": True, "reasons": {}, "stores": {"downtown": "up"}}
    assert ready(office).json == {"ready": True, "reasons": {}, "role": "serving", "shards": [0]}
    # Whether both meet at all can be told from what each says.
    namespace = chain.environ["INVCTL_NAMESPACE"]
    for number, action in enumerate(["daemon.started", "central.started"]):
        assert [line["namespace"] for line in chain.lines(number) if line["action"] == action] == [namespace]


@pytest.mark.slow
@pytest.mark.fault_tolerance
def test_a_broker_that_is_away_is_told_serves_clerks_and_is_drained_to(chain: Chain, broker: Broker) -> None:
    invd, office = chain.start_daemon(), chain.start_central()
    eventually(lambda: scrape(invd)['invd_acked_seq{store="downtown"}'] == 6)
    eventually(lambda: ready(invd).status == ready(office).status == 200)
    broker.kill()
    eventually(lambda: chain.daemon_says()["breaker"]["state"] == "open")
    eventually(lambda: ready(office).status == 503)
    told = ready(invd)
    assert told.status == 503
    assert told.json["reasons"].keys() == {"bus", "bus_breaker"}
    assert "Connection refused" in told.json["reasons"]["bus"]
    assert get(invd, "/livez").status == get(office, "/livez").status == 200
    # A clerk is not stopped by that, and sees it.
    clerk = chain.clerk
    assert clerk("reserve", "MOUSE-001=2", "--order", "A-17").code == 0
    breaker = clerk("status", "-o", "json").json["daemon"]["breaker"]
    assert breaker["state"] in ("open", "half_open")
    assert breaker["failures"] >= 3
    assert "Connection refused" in breaker["why"]
    for command in (("status",), ("daemon", "status")):
        assert "; sends nothing since " in clerk(*command).out
    # Head office's operator sees it, too.
    eventually(lambda: chain.central_says()["breakers"]["leases"]["state"] != "closed")
    status = subprocess.run(
        [sys.executable, "-m", "central", "status"], env=chain.environ, capture_output=True, text=True, check=True
    )
    assert "paused" in status.stdout
    # The cause is told by whatever fails of it, and no time that has gone by when it is read.
    eventually(lambda: "leases is not asked" in ready(office).json["reasons"].get("leases", ""))
    reasons = ready(office).json["reasons"]
    assert all("Connection refused" in reasons[name] for name in ("leases", "leases_breaker"))
    assert not any("next attempt" in reason for reason in reasons.values())
    assert f"metrics      {office}/metrics" in status.stdout
    eventually(lambda: scrape(invd)['invctl_outbox_pending{store="downtown"}'] == 1)
    away = scrape(invd)
    assert away['invctl_breaker_state{breaker="bus",state="closed"}'] == away["invctl_ready"] == 0
    assert away['invctl_breaker_opened_total{breaker="bus"}'] == 1
    assert away['invctl_bus_publish_failures_total{cause="connection"}'] >= 3
    assert away["invctl_bus_losses_total"] >= 1
    assert away['invd_link_state{state="unknown",store="downtown"}'] == 1
    failed = 'invcentral_lease_calls_total{call="holders",outcome="failed"}'
    eventually(lambda: scrape(office)[failed] >= 1)

    broker.start()
    eventually(lambda: ready(invd).status == 200)
    eventually(lambda: scrape(invd)['invd_acked_seq{store="downtown"}'] == 7)
    eventually(lambda: ready(office).status == 200)
    assert clerk("status", "-o", "json").json["daemon"]["breaker"]["state"] == "closed"
    assert "sends nothing" not in clerk("status").out
    told_lines = [line["action"] for line in chain.lines(0)]
    assert told_lines.count("breaker.opened") == told_lines.count("bus.lost") == 1
    failed_jobs = [line for line in chain.lines(1) if line["action"] == "job.failed"]
    assert len(failed_jobs) == len({(line["job"], line["message"]) for line in failed_jobs})


@pytest.mark.slow
@pytest.mark.fault_tolerance
async def test_a_line_that_goes_dead_without_a_word_is_noticed_on_both_sides(chain: Chain, broker: Broker) -> None:
    """Nothing is refused and nothing is closed: only our own deadlines can tell."""
    async with Proxy(broker.url) as line:
        chain.environ["INVCTL_REDIS_URL"] = line.url
        invd = await asyncio.to_thread(chain.start_daemon)
        office = await asyncio.to_thread(chain.start_central)

        def both(status: int) -> None:
            eventually(lambda: ready(invd).status == ready(office).status == status)

        def acked(seq: int) -> None:
            eventually(lambda: scrape(invd)['invd_acked_seq{store="downtown"}'] == seq)

        await asyncio.to_thread(acked, 6)
        await asyncio.to_thread(both, 200)
        line.swallow()
        await asyncio.to_thread(chain.clerk, "reserve", "MOUSE-001")
        await asyncio.to_thread(both, 503)
        assert "no answer in time" in (await asyncio.to_thread(ready, invd)).json["reasons"]["bus"]
        # Alive all the while: nothing hangs.
        for url in (invd, office):
            assert (await asyncio.to_thread(get, url, "/livez")).status == 200
        await line.heal()
        await asyncio.to_thread(acked, 7)
        await asyncio.to_thread(both, 200)


def test_all_that_rules_and_dashboard_ask_for_is_shown(chain: Chain) -> None:
    urls = chain.start_daemon(), chain.start_central()
    asked = {name for expr in [*shown_exprs(), *(rule["expr"] for rule in rules())] for name in ours_in(expr)}
    assert len(asked) > 20

    def lacking() -> set[str]:
        return asked - {name.partition("{")[0] for url in urls for name in scrape(url)}

    eventually(lambda: not lacking())


@pytest.mark.business
def test_what_becomes_of_reservations_is_counted(chain: Chain) -> None:
    invd = chain.start_daemon()
    eventually(lambda: scrape(invd).get('invd_head_seq{store="downtown"}') == 6)
    for command in (("confirm",), ("cancel",), ()):
        key = chain.clerk("reserve", "MOUSE-001", "-q").out.strip()
        if command:
            assert chain.clerk(*command, key).code == 0

    def counted() -> dict[str, float]:
        seen = scrape(invd)
        outcomes = ("created", "confirmed", "cancelled", "expired")
        return {each: seen[f'invd_reservations_total{{outcome="{each}",store="downtown"}}'] for each in outcomes}

    eventually(lambda: counted() == {"created": 3, "confirmed": 1, "cancelled": 1, "expired": 0})
    # A refusal is no event. A request that hears again what it was told before counts for nothing.
    for argv in (["MOUSE-001=99", "--request-id", "r-1"], ["MOUSE-001=99", "--request-id", "r-1"], ["NONE-1"]):
        assert chain.clerk("reserve", *argv).code != 0
    assert chain.clerk("confirm", key).code == 0
    assert chain.clerk("confirm", key).code != 0

    def refused() -> dict[str, float]:
        seen = scrape(invd)
        reasons = ("not_enough_stock", "not_found", "wrong_state", "refused")
        return {each: seen[f'invd_refusals_total{{reason="{each}",store="downtown"}}'] for each in reasons}

    eventually(lambda: refused() == {"not_enough_stock": 1, "not_found": 1, "wrong_state": 1, "refused": 0})
    assert scrape(invd)["invd_lock_wait_seconds_count"] > 0


def test_one_trace_is_in_the_lines_of_what_was_published_committed_and_acknowledged(chain: Chain) -> None:
    invd, _ = chain.start_daemon("--log-level", "debug"), chain.start_central("--log-level", "debug")
    acked = 'invd_acked_seq{store="downtown"}'
    eventually(lambda: scrape(invd)[acked] == 6)
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    for _ in range(2):
        assert chain.clerk.process("reserve", "MOUSE-001", env={"TRACEPARENT": parent}).code == 0
    eventually(lambda: scrape(invd)[acked] == 8)
    by_daemon, by_central = (
        {line["action"] for line in chain.lines(number) if TRACE in json.dumps(line)} for number in (0, 1)
    )
    assert {"bus.published", "ack.received"} <= by_daemon
    assert {"bus.received", "events.committed"} <= by_central


@pytest.mark.fault_tolerance
def test_a_daemon_without_a_port_of_its_own_works_and_takes_it_when_it_can(chain: Chain) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        chain.start("daemon", "run", str(chain.clerk.home), environ={"INVD_METRICS_PORT": str(port)})
        eventually(lambda: chain.daemon_says().get("connection") == "connected")
        assert chain.daemon_says()["metrics"] is None
        why = f"port {port} of 127.0.0.1 cannot be had: Address already in use"
        assert f"\nmetrics: none, {why}" in chain.clerk("daemon", "status").out
        assert "watch.not_served" in [line["action"] for line in chain.lines(0)]
    eventually(lambda: chain.daemon_says()["metrics"] == f"http://127.0.0.1:{port}")
    assert ready(f"http://127.0.0.1:{port}").status == 200


def test_flags_come_before_the_environment_and_off_is_off(chain: Chain) -> None:
    port = free_port()
    url = chain.start_daemon("--metrics-port", str(port), INVD_METRICS_PORT="off")
    assert url == f"http://127.0.0.1:{port}"
    office = chain.start_central("--metrics-port", "0", INVCENTRAL_METRICS_PORT="off")
    assert get(office, "/livez").status == 200
    chain.end()
    chain.start("daemon", "run", str(chain.clerk.home), "--metrics-port", "off")
    eventually(lambda: chain.daemon_says().get("connection") == "connected")
    assert chain.daemon_says()["metrics"] is None


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("known", [True, False], ids=["right", "wrong"])
def test_the_broker_s_password_is_used_and_shown_nowhere(clerk: Clerk, tmp_path: Path, *, known: bool) -> None:
    with real_broker(PASSWORD) as broker:
        url = broker.url if known else broker.url.replace("hush", "guess")
        passwords = [unquote(urlsplit(url).password or ""), urlsplit(url).password or ""]
        chain = Chain(clerk, tmp_path / "office", url)
        try:
            urls = chain.start_daemon("--log-level", "debug"), chain.start_central("--log-level", "debug")
            if known:
                eventually(lambda: ready(urls[0]).status == ready(urls[1]).status == 200)
                eventually(lambda: scrape(urls[0])['invd_acked_seq{store="downtown"}'] == 6)
            else:
                eventually(lambda: "bus_breaker" in ready(urls[0]).json["reasons"])
                eventually(lambda: "leases_breaker" in ready(urls[1]).json["reasons"])
            shown = [json.dumps([chain.daemon_says(), chain.central_says()])]
            shown += [str(get(each, path).body) for each in urls for path in ("/metrics", "/livez", "/readyz")]
            shown += [str(clerk(*each)) for each in (("status",), ("status", "-o", "json"), ("daemon", "status"))]
            for form in ("table", "json"):
                status = [sys.executable, "-m", "central", "status", "-o", form]
                shown.append(
                    subprocess.run(status, env=chain.environ, capture_output=True, text=True, check=True).stdout
                )
        finally:
            chain.end()
        shown += [(tmp_path / f"{number}.log").read_text() for number in (0, 1)]
        assert all(shown)
        assert not [text for text in shown for each in passwords if each in text]


@pytest.mark.fault_tolerance
def test_clients_that_say_nothing_hold_up_neither_watchers_nor_the_store(chain: Chain) -> None:
    invd, _ = chain.start_daemon(), chain.start_central()
    where = urlsplit(invd)
    assert where.hostname
    assert where.port
    with contextlib.ExitStack() as silent:
        for _ in range(200):
            silent.enter_context(socket.create_connection((where.hostname, where.port), PATIENCE_S))
        assert chain.clerk("reserve", "MOUSE-001").code == 0
        eventually(lambda: chain.clerk("status", "-o", "json").json["acked_seq"] == 7)
    eventually(lambda: _answers(invd))


def _answers(url: str) -> bool:
    try:
        return get(url, "/livez").status == 200
    except OSError:
        return False
