"""Spans for OpenTelemetry, of what has happened already: sent over OTLP/HTTP, on a thread of its own.

Off unless the standard variables of its environment name an endpoint, and then nothing of it is imported. It is what
`pip install 'invctl[otel]'` brings (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).

Nobody waits for it: the queue is bounded, what is too much is dropped, and an end waits `CLOSE_S` at the most.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import SpanContext
    from structlog.typing import FilteringBoundLogger

CLOSE_S = 0.5
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_MISSING = "spans are to be sent to an endpoint of OTLP, and OpenTelemetry is not installed here"


class Span(NamedTuple):
    """Something that took its time, within a trace. Ids are hexadecimal digits, `parent` empty where there is none.

    `kind` is internal, producer or consumer.
    """

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    start_us: int
    end_us: int
    attributes: Mapping[str, str | int]


class Spans:
    """Where spans go. Any thread may call; none is ever held up."""

    def __init__(self, process: str, version: str, log: FilteringBoundLogger) -> None:
        """Begin to send, as the environment says. Raises ImportError, or what OpenTelemetry says of the environment."""
        from opentelemetry import trace as api  # noqa: PLC0415 - it may not be installed, and is mostly not wanted
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import Decision  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        # It tells each failure at length, and each span that is dropped; we tell the first, and the end.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._api = api
        self._span = ReadableSpan
        own = Resource({"service.name": process, "service.version": version})
        # What the environment says of the service comes before what we say.
        self._resource = own.merge(OTELResourceDetector().detect())
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._sampled = Decision.RECORD_AND_SAMPLE
        self._scope = InstrumentationScope(process, version)
        self._processor = BatchSpanProcessor(_told(OTLPSpanExporter(), log))

    def wants(self, trace: str, parent: str, *, sampled: bool) -> bool:
        """Tell whether a trace is to be seen. With a `parent` that one decides, by `sampled`; without, the sampler."""
        context = None
        if parent:
            remote = self._api.NonRecordingSpan(self._context(trace, parent, sampled=sampled))
            context = self._api.set_span_in_context(remote)
        elif not sampled:
            return False
        return self._sampler.should_sample(context, int(trace, 16), "").decision is self._sampled

    def send(self, span: Span) -> None:
        """Send a span as soon as may be. It is dropped where too many wait."""
        self._processor.on_end(
            self._span(
                name=span.name,
                context=self._context(span.trace, span.span),
                parent=self._context(span.trace, span.parent) if span.parent else None,
                resource=self._resource,
                attributes=span.attributes,
                kind=self._api.SpanKind[span.kind.upper()],
                start_time=span.start_us * 1000,
                end_time=span.end_us * 1000,
                instrumentation_scope=self._scope,
            )
        )

    def close(self) -> None:
        """Send what waits, if that can be done in time."""
        # Its own limit is half a minute, as an endpoint that hangs may need; a daemon that is told to end does not.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _context(self, trace: str, span: str, *, sampled: bool = True) -> SpanContext:
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED if sampled else self._api.TraceFlags.DEFAULT)
        return self._api.SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=flags)


def spans_of(process: str, version: str, environ: Mapping[str, str], log: FilteringBoundLogger) -> Spans | None:
    """Return where spans go; None where the environment names no endpoint for them.

    Raises InvalidValueError where it does, and they cannot be sent.
    """
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not any(environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        return Spans(process, version, log)
    except ImportError:
        hint = f"pip install 'invctl[otel]', or unset {' and '.join(_ENDPOINTS)}"
        raise InvalidValueError(_MISSING, hint=hint) from None
    except (ValueError, RuntimeError) as error:
        # Already as it is imported it looks at some of its variables.
        raise InvalidValueError(f"spans cannot be sent: {error}", hint="see the OTEL_ variables") from None


def _told(exporter: SpanExporter, log: FilteringBoundLogger) -> SpanExporter:
    """Let the log tell once that nothing more can be sent, and once that it can again."""
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - see above

    export: Callable[[Sequence[ReadableSpan]], SpanExportResult] = exporter.export
    failing = False

    def export_and_tell(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        nonlocal failing
        result = export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not failing:
            log.warning("spans.not_sent", spans=len(spans), hint="see that the endpoint of OTLP answers")
        elif failing and not failed:
            log.info("spans.sent_again")
        failing = failed
        return result

    exporter.export = export_and_tell  # type: ignore[method-assign] # a class around it would repeat its whole contract
    return exporter
