"""Spans and metrics by OpenTelemetry (extra ``otel``), from what a client tells its ``on_event``."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from itertools import islice
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode

from smm_async.errors import SmmError
from smm_async.events import (
    Event,
    OrderPlaced,
    OutcomeUnknown,
    Request,
    RequestAnswered,
    RequestFailed,
    RequestSent,
    Retried,
)

__all__ = ["Instrumentation"]

_Attributes: TypeAlias = Mapping[str, str | int | float]

_FIRST_ERROR: Final = 400
# Those of http.client.request.duration in the semantic conventions.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SIZES: Final = (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)


class Instrumentation:
    """Makes one span of each request, linked to the spans of those it is for, and counts: ``Client(on_event=...)``.

    The spans are of kind CLIENT, with the attributes of the semantic conventions for HTTP, and are the roots of traces
    of their own: many callers share one. Several clients may have the same object.

    Metrics: ``smm_async.request.duration`` in seconds, as ``http.client.request.duration`` is, which the
    instrumentation of httpx may record beside it; ``smm_async.lookups``, ``smm_async.batch.size`` and
    ``smm_async.batch.wait`` of batches; ``smm_async.retries``; and ``smm_async.orders`` by
    ``smm_async.order.outcome``, ``placed`` or ``unknown``.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        max_links: int = 128,
    ) -> None:
        """Make the instruments.

        Args:
            tracer_provider: the global one, if there is none.
            meter_provider: the global one, if there is none.
            max_links: how many callers' spans one request is linked to; the SDK keeps 128 unless it is told otherwise.
        """
        self._tracer = trace.get_tracer("smm_async", tracer_provider=tracer_provider)
        self._max_links = max_links
        # One that is thrown away with its event loop has no end.
        self._spans: weakref.WeakKeyDictionary[Request, Span] = weakref.WeakKeyDictionary()
        meter = metrics.get_meter("smm_async", meter_provider=meter_provider)
        self._durations = meter.create_histogram(
            "smm_async.request.duration",
            "s",
            "Duration of requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._sizes = meter.create_histogram(
            "smm_async.batch.size", "{id}", "Ids in a batch.", explicit_bucket_boundaries_advisory=_SIZES
        )
        self._waits = meter.create_histogram(
            "smm_async.batch.wait",
            "s",
            "How long the oldest lookup of a batch had waited.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._lookups = meter.create_counter("smm_async.lookups", "{lookup}", "Lookups that were sent.")
        self._retries = meter.create_counter("smm_async.retries", "{request}", "Requests that are repeated.")
        self._orders = meter.create_counter("smm_async.orders", "{order}", "Orders placed, and writes gone astray.")

    def capture(self) -> SpanContext | None:
        """Return the caller's span, for the requests that go for this caller."""
        context = trace.get_current_span().get_span_context()
        return context if context.is_valid else None

    def __call__(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, RequestSent):
            self._begin(event.request)
        elif isinstance(event, RequestAnswered):
            self._end(event.request, event.seconds, event.error, event.status_code)
        elif isinstance(event, RequestFailed):
            self._end(event.request, event.seconds, event.error, None)
        elif isinstance(event, Retried):
            self._retries.add(1, {"smm_async.action": event.request.action, "error.type": _name(event.error)})
        else:
            self._count_order(event)

    def _count_order(self, event: OrderPlaced | OutcomeUnknown) -> None:
        outcome = "placed" if isinstance(event, OrderPlaced) else "unknown"
        self._orders.add(1, {"smm_async.action": event.action, "smm_async.order.outcome": outcome})

    def _begin(self, request: Request) -> None:
        askers = {asker.span_id: asker for asker in request.askers if isinstance(asker, SpanContext)}
        self._spans[request] = self._tracer.start_span(
            f"{request.method} {request.action}",
            context=Context(),
            kind=SpanKind.CLIENT,
            attributes={**_target(request), **_details(request)},
            links=[Link(asker) for asker in islice(askers.values(), self._max_links)],
        )
        if request.reason.is_batch:
            action = {"smm_async.action": request.action}
            self._lookups.add(request.lookups, action)
            self._sizes.record(len(request.ids), action)
            self._waits.record(request.waited, action)

    def _end(self, request: Request, seconds: float, error: SmmError | None, status_code: int | None) -> None:
        result = _result(error, status_code)
        self._durations.record(seconds, {**_target(request), **result})
        span = self._spans.pop(request)
        span.set_attributes(result)
        if "error.type" in result:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _target(request: Request) -> _Attributes:
    """Return what metrics tell requests apart by, too."""
    parts = urlsplit(request.url)
    return {
        "http.request.method": request.method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "smm_async.action": request.action,
    }


def _details(request: Request) -> _Attributes:
    details: dict[str, str | int | float] = {
        # Without a query, which may be somebody's secret.
        "url.full": urlsplit(request.url)._replace(query="").geturl(),
        "smm_async.request.reason": request.reason.value,
        "smm_async.request.ids": len(request.ids),
        "smm_async.request.lookups": request.lookups,
        "smm_async.request.wait": request.waited,
    }
    if request.attempt > 1:
        details["http.request.resend_count"] = request.attempt - 1
    return details


def _result(error: SmmError | None, status_code: int | None) -> _Attributes:
    result: dict[str, str | int] = {}
    if status_code is not None:
        result["http.response.status_code"] = status_code
    if error is not None:
        result["error.type"] = _name(error)
    elif status_code is None:
        result["error.type"] = "cancelled"
    elif status_code >= _FIRST_ERROR:
        result["error.type"] = str(status_code)
    return result


def _name(error: SmmError) -> str:
    return type(error).__name__
