"""Which traces are seen, and what is said where spans cannot be sent: the library alone, no daemon."""

from __future__ import annotations

import os
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from invctl.errors import InvalidValueError
from invctl.runtime.spans import Span, Spans, spans_of
from scripts.chain.broker import free_port
from scripts.chain.waiting import wait_until
from tests.watching import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.metrics

REFUSED = 3


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where spans go. Nobody listens there."""
    port = free_port()
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }.items():
        monkeypatch.setenv(name, value)
    return port


@pytest.fixture
def endpoint(port: int) -> Iterator[ThreadingHTTPServer]:
    """What takes spans there, once it is told to serve, after it has refused some."""
    answers = iter([400] * REFUSED)

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(next(answers, 200))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Taker, bind_and_activate=False) as server:
        yield server


@pytest.mark.usefixtures("port")
@pytest.mark.parametrize(
    ("sampler", "alone", "with_parent", "with_parent_unsampled"),
    [
        ("parentbased_always_on", True, True, False),
        ("parentbased_traceidratio", False, True, False),
        ("always_off", False, False, False),
        ("always_on", True, True, True),
    ],
)
def test_the_sampler_is_asked_with_what_the_caller_decided(
    monkeypatch: pytest.MonkeyPatch, sampler: str, alone: bool, with_parent: bool, with_parent_unsampled: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    spans = Spans("invd", "1", structlog.get_logger())
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    assert spans.wants(trace, "", sampled=True) is alone
    assert spans.wants(trace, parent, sampled=True) is with_parent
    assert spans.wants(trace, parent, sampled=False) is with_parent_unsampled
    # Of what nobody samples, and no caller started, no sampler is asked.
    assert spans.wants(trace, "", sampled=False) is False
    spans.close()


@pytest.mark.fault_tolerance
def test_an_endpoint_that_is_away_is_said_once_and_so_is_its_return(endpoint: ThreadingHTTPServer) -> None:
    with capture_logs() as lines:
        spans = Spans("invd", "1", structlog.get_logger())

        def said(event: str) -> bool:
            spans.send(Span("x", "internal", secrets.token_hex(16), secrets.token_hex(8), "", 1, 2, {}))
            return event in [line["event"] for line in lines]

        assert wait_until(lambda: said("spans.not_sent"), timeout_s=PATIENCE_S)
        endpoint.server_bind()
        endpoint.server_activate()
        serving = threading.Thread(target=endpoint.serve_forever)
        serving.start()
        assert wait_until(lambda: said("spans.sent_again"), timeout_s=PATIENCE_S)
        spans.close()
        endpoint.shutdown()
        serving.join()
    assert [line["event"] for line in lines] == ["spans.not_sent", "spans.sent_again"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-5"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "junk"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-3"),
        ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "nobody"),
    ],
)
def test_a_variable_that_opentelemetry_does_not_take_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidValueError, match="spans cannot be sent") as raised:
        spans_of("invd", "1", os.environ, structlog.get_logger())
    assert "OTEL_" in raised.value.hint
