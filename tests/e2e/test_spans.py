"""Spans of one reservation, from the clerk's command to head office's commit: real processes, and what they send."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.chain import Chain, eventually
from tests.watching import scrape

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.metrics

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
ACKED = 'invd_acked_seq{store="downtown"}'
HURRY = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent, by trace id and by the service that sent them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.spans: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        super().__init__(("127.0.0.1", 0), _Receiver)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, body: bytes) -> None:
        for of_a_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = read(of_a_resource.resource.attributes)["service.name"]
            for of_a_scope in of_a_resource.scope_spans:
                for span in of_a_scope.spans:
                    self.spans[span.trace_id.hex()][service].append(span)


class _Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def read(attributes: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_one_reservation_is_one_trace_through_both_daemons(chain: Chain, collector: Collector) -> None:
    chain.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **HURRY}
    invd = chain.start_daemon()
    chain.start_central(OTEL_SERVICE_NAME="office")
    parent = f"00-{TRACE}-{CALLER}-01"
    eventually(lambda: scrape(invd)[ACKED] == 6)
    done = chain.clerk.process("reserve", "MOUSE-001=2", "-o", "json", env={"TRACEPARENT": parent})
    assert done.code == 0
    unseen = f"00-{TRACE[::-1]}-{CALLER}-00"
    assert chain.clerk.process("reserve", "MOUSE-001", env={"TRACEPARENT": unseen}).code == 0
    assert chain.clerk.process("reserve", "MOUSE-001").code == 0
    eventually(lambda: scrape(invd)[ACKED] == 9)
    eventually(lambda: len(collector.spans[TRACE]["invd"]) == 3 and len(collector.spans[TRACE]["office"]) == 1)
    own, published, settled = collector.spans[TRACE]["invd"]
    (processed,) = collector.spans[TRACE]["office"]
    assert own.name == "inventory.reservation.created"
    assert [each.name.split()[0] for each in (published, settled, processed)] == ["publish", "settle", "process"]
    assert own.parent_span_id.hex() == CALLER
    assert published.parent_span_id == own.span_id
    assert processed.parent_span_id == settled.parent_span_id == published.span_id
    assert len({each.span_id for each in (own, published, settled, processed)}) == 4
    kinds = [published.SPAN_KIND_PRODUCER, published.SPAN_KIND_CONSUMER]
    assert [published.kind, processed.kind] == kinds
    assert own.start_time_unix_nano <= published.start_time_unix_nano <= published.end_time_unix_nano
    assert published.end_time_unix_nano <= settled.end_time_unix_nano
    assert processed.start_time_unix_nano <= processed.end_time_unix_nano <= settled.end_time_unix_nano
    about = read(processed.attributes)
    expected = {
        "messaging.system": "redis",
        "messaging.operation.type": "process",
        "invctl.store": "downtown",
        "invctl.seq": 7,
    }
    assert {name: about[name] for name in expected} == expected
    assert about["messaging.destination.name"].startswith(f"{chain.environ['INVCTL_NAMESPACE']}:up:")
    assert read(own.attributes)["invctl.event.id"]

    # A command that nobody started within a trace begins one; what its caller does not sample is seen by nobody.
    def of_the_third() -> dict[str, list[Any]]:
        return next((found for found in collector.spans.values() if seqs(found["invd"]) == {9}), {})

    eventually(lambda: sum(map(len, of_the_third().values())) == 4)
    root = next(span for span in of_the_third()["invd"] if span.name == own.name)
    assert root.parent_span_id == b""
    assert TRACE[::-1] not in collector.spans


def seqs(spans: list[Any]) -> set[int]:
    return {read(span.attributes)["invctl.seq"] for span in spans}


def test_what_a_sampler_does_not_take_is_not_sent(chain: Chain, collector: Collector) -> None:
    chain.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **HURRY}
    chain.environ |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    invd, _ = chain.start_daemon(), chain.start_central()
    eventually(lambda: scrape(invd)[ACKED] == 6)
    assert chain.clerk.process("reserve", "MOUSE-001").code == 0
    eventually(lambda: scrape(invd)[ACKED] == 7)
    traced = f"00-{TRACE}-{CALLER}-01"
    assert chain.clerk.process("reserve", "MOUSE-001", env={"TRACEPARENT": traced}).code == 0
    eventually(lambda: scrape(invd)[ACKED] == 8)
    for process in chain.processes:
        process.terminate()
        process.wait()
    # A caller that samples decides for its trace.
    assert set(collector.spans) == {TRACE}


@pytest.mark.fault_tolerance
def test_an_endpoint_that_hangs_holds_up_nothing(chain: Chain) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        chain.environ |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "OTEL_BSP_MAX_QUEUE_SIZE": "4",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
            **HURRY,
        }
        invd, office = chain.start_daemon(), chain.start_central()
        for _ in range(9):
            assert chain.clerk("reserve", "MOUSE-001").code == 0
        eventually(lambda: scrape(invd)[ACKED] == 15)
        eventually(lambda: scrape(office)["invctl_events_applied_total"] == 15)
        with contextlib.closing(listener.accept()[0]) as asked:
            assert asked.recv(4) == b"POST"
        for process in chain.processes:
            process.terminate()
        # Well before the endpoint's ten minutes are over.
        assert [process.wait(60) for process in chain.processes] == [0, 0]


@pytest.mark.cli
@pytest.mark.parametrize("module", ["daemon", "central"])
def test_without_the_extra_it_is_said_in_a_line_and_unasked_for_nothing_is_loaded(
    chain: Chain, module: str, tmp_path: Any
) -> None:
    chain.start_central()
    chain.end()
    (tmp_path / "opentelemetry.py").write_text("raise ImportError")
    argv = ["run", str(chain.clerk.home)] if module == "daemon" else ["run"]
    path = f"{tmp_path}{os.pathsep}{chain.environ['PYTHONPATH']}"
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": path}
    process = chain.start(module, *argv, environ=told)
    assert process.wait() == 2
    error, hint = (tmp_path / "1.log").read_text().splitlines()
    assert "OpenTelemetry is not installed" in error
    assert "invctl[otel]" in hint
    # Off, it starts although the library cannot be loaded.
    chain.start(module, *argv, environ={"PYTHONPATH": path})
    chain.url(chain.daemon_says if module == "daemon" else chain.central_says)
