"""Spans and metrics by OpenTelemetry, as an SDK gets them."""

import json

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import smm_async as smm
from smm_async.otel import Instrumentation
from tests.calling import BALANCE, KEY, ORDER, PLACED
from tests.canned import outcome_of
from tests.scripted_transport import ScriptedTransport, after, answer, never, refused
from tests.test_events import client_of, statuses
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


class Backend:
    """Keeps all spans and metrics."""

    def __init__(self, **options):
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = provider.get_tracer("program")
        self.hook = Instrumentation(tracer_provider=provider, meter_provider=meters, **options)

    @property
    def spans(self):
        """The spans of requests."""
        return [one for one in self._exporter.get_finished_spans() if one.instrumentation_scope.name == "smm_async"]

    def points(self, name):
        """Return all points of a metric, by the values of their attributes."""
        ((scope,),) = [one.scope_metrics for one in self._reader.get_metrics_data().resource_metrics]
        self.printed = scope.to_json()
        (metric,) = [one for one in scope.metrics if one.name == name]
        return {tuple(sorted(point.attributes.items())): point for point in metric.data.data_points}


@pytest.fixture
def backend():
    """Return a backend of the test's own."""
    return Backend()


async def test_request_is_a_span_linked_to_its_callers(backend):
    """A batch is one client span in a trace of its own, with one link to each span that waits for it."""
    async with client_of(statuses("1", "2"), on_event=backend.hook) as client:

        async def ask(*orders):
            with backend.tracer.start_as_current_span("caller") as span:
                callers.append(span.get_span_context())
                async with anyio.create_task_group() as tasks:
                    for order in orders:
                        tasks.start_soon(client.status, order)

        callers = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, 1, 2)
            tasks.start_soon(ask, 1)
            tasks.start_soon(client.status, 2)

    (span,) = backend.spans
    assert (span.name, span.kind, span.parent) == ("POST status", SpanKind.CLIENT, None)
    assert sorted(link.context.span_id for link in span.links) == sorted(caller.span_id for caller in callers)
    assert len(span.links) == 2
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "panel.example",
        "server.port": 443,
        "url.full": "https://panel.example/api/v2",
        "smm_async.action": "status",
        "smm_async.request.reason": "idle",
        "smm_async.request.ids": 2,
        "smm_async.request.lookups": 4,
        "smm_async.request.wait": pytest.approx(0.0, abs=1e-6),
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_links_are_bounded():
    """More callers than there may be links are left out, the last ones."""
    backend = Backend(max_links=3)

    async with client_of(statuses(*map(str, range(1, 6))), on_event=backend.hook) as client:

        async def ask(order):
            with backend.tracer.start_as_current_span("caller"):
                await client.status(order)

        async with anyio.create_task_group() as tasks:
            for order in range(1, 6):
                tasks.start_soon(ask, order)

    (span,) = backend.spans
    assert len(span.links) == 3


async def test_errors_are_on_the_span(backend):
    """A request that fails, is refused, is given up or has a bad status has an ERROR span with the kind of error."""
    acts = refused, BALANCE, answer({"error": "Invalid API key"}), answer({"error": "Incorrect order ID"}, 404), never
    async with client_of(*acts, budget=2.0, on_event=backend.hook) as client:
        await client.balance()
        await outcome_of(client.balance)
        await outcome_of(client.status, 1)
        await outcome_of(client.balance)

    kinds = [span.attributes.get("error.type") for span in backend.spans]
    assert kinds == ["NotSentError", None, "InvalidKeyError", "404", "cancelled"]
    assert [span.status.status_code is StatusCode.ERROR for span in backend.spans] == [
        kind is not None for kind in kinds
    ]
    assert [span.attributes.get("http.request.resend_count") for span in backend.spans] == [None, 1, None, None, None]


async def test_metrics_count_what_was_done(backend):
    """Durations are seconds in the buckets of the conventions; lookups, sizes, retries and orders are counted."""
    panel = smm.Panel("http://127.0.0.1:81/api/v2?site=hidden")
    lost = answer(b"<html>", 502)
    transport = ScriptedTransport(after(0.3, statuses("1", "2")), refused, BALANCE, PLACED, lost)
    async with smm.Client(panel, key=KEY, transport=transport, on_event=backend.hook) as client:
        await client.statuses([1, 2])
        await client.balance()
        await client.add(ORDER)
        await outcome_of(client.add, ORDER)

    status = (("smm_async.action", "status"),)
    assert backend.points("smm_async.lookups")[status].value == 2
    assert backend.points("smm_async.batch.size")[status].sum == 2
    assert backend.points("smm_async.batch.wait")[status].count == 1
    retried = (("error.type", "NotSentError"), ("smm_async.action", "balance"))
    assert backend.points("smm_async.retries")[retried].value == 1
    orders = backend.points("smm_async.orders").items()
    assert {dict(names)["smm_async.order.outcome"]: point.value for names, point in orders} == {
        "placed": 1,
        "unknown": 1,
    }
    durations = backend.points("smm_async.request.duration")
    (of_status,) = [point for names, point in durations.items() if dict(names)["smm_async.action"] == "status"]
    assert of_status.sum == pytest.approx(0.3)
    assert of_status.explicit_bounds[:2] == (0.005, 0.01)
    assert dict(of_status.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": 81,
        "smm_async.action": "status",
    }
    shown = backend.printed + json.dumps([span.to_json() for span in backend.spans])
    assert KEY not in shown
    assert "hidden" not in shown


async def test_one_object_serves_several_clients_and_keeps_nothing(backend):
    """Requests of the same number do not get into each other's way, and ended ones are forgotten."""
    one = client_of(after(1.0, BALANCE), on_event=backend.hook)
    other = client_of(after(2.0, BALANCE), on_event=backend.hook)

    async with one, other, anyio.create_task_group() as tasks:
        tasks.start_soon(one.balance)
        tasks.start_soon(other.balance)

    assert len(backend.spans) == 2
    assert len(backend.hook._spans) == 0
