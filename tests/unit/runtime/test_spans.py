"""What an environment that asks for spans, and cannot have them, is answered."""

from __future__ import annotations

import os

import pytest
import structlog

from invctl.errors import InvalidValueError
from invctl.runtime.spans import spans_of

pytestmark = pytest.mark.metrics


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
