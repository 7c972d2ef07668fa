"""All channels by which a key could leave a program, each with a net in it."""

import asyncio
import contextlib
import copy
import gc
import io
import logging
import pprint
import sys
import traceback
import warnings
from collections import defaultdict

import attrs
import sentry_sdk
import sentry_sdk.transport
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.logging import LoggingIntegration

from smm_async.otel import Instrumentation
from tests.canary import FAMILIES, KEYS, found_in
from tests.canary_shown import (
    as_text,
    chain_of,
    described,
    drawn,
    extracted,
    fields_of,
    reachable_from,
    shown_by,
    taken_along,
)

OF_ERRORS = frozenset(
    {
        "str",
        "repr",
        "format",
        "fields",
        "chain",
        "pickle",
        "copy",
        "traceback",
        "rich",
        "span",
        "sentry",
        "stderr",
        "log",
    }
)
"""Where an exception is shown."""
OF_VALUES = frozenset({"value", "value's fields", "value taken along"})
OF_CLIENTS = frozenset({"client", "client's parts", "client taken along", "client's sight", "stdout"})
OF_REQUESTS = frozenset({"event", "span of client", "metrics"})
"""Where a client shows what it sends."""
_SPANS = {"program": "span", "smm_async": "span of client"}


class Net:
    """Keeps what everything in a ``with`` block shows of itself, by channel, and looks for keys in it."""

    def __init__(self, *, draws=False):
        self._draws = draws
        self._texts: dict[str, dict[str, None]] = defaultdict(dict)
        self._stack = contextlib.ExitStack()
        self.checks = 0
        """How many channels that have shown anything were searched, times the families of forms, for all keys."""

    def keep(self, channel, *shown):
        """Keep what a channel shows: texts and bytes as they are, anything else as it prints itself."""
        self._texts[channel].update(dict.fromkeys(map(as_text, shown)))

    def text_in(self, channel):
        """Return all that a channel has shown."""
        return "\n".join(self._texts[channel])

    @property
    def channels(self):
        """The channels that have shown anything."""
        return {channel for channel, texts in self._texts.items() if any(texts)}

    def leaks(self):
        """Return where which key was found, and in which form: by their names, never the key itself."""
        self.checks = len(self.channels) * len(FAMILIES)
        return {
            (channel, name, family)
            for channel in self.channels
            for name, key in KEYS.items()
            for family in found_in(self.text_in(channel), key)
        }

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for listen in (
                self._listen_to_streams,
                self._listen_to_logs,
                self._listen_to_warnings,
                self._listen_to_the_collector,
                self._listen_to_spans,
                self._listen_to_events,
            ):
                listen(stack)
            self._stack = stack.pop_all()
        # What was there before need not be collected.
        gc.freeze()
        return self

    def __exit__(self, *error):
        # What nobody closed complains now, while it is heard.
        gc.collect()
        gc.unfreeze()
        self._stack.close()

    # --- What comes by itself

    def _listen_to_streams(self, stack):
        for name, redirect in (("stdout", contextlib.redirect_stdout), ("stderr", contextlib.redirect_stderr)):
            stream = io.StringIO()
            stack.callback(lambda name=name, stream=stream: self.keep(name, stream.getvalue()))
            stack.enter_context(redirect(stream))

    def _listen_to_logs(self, stack):
        root = logging.getLogger()
        stack.callback(root.setLevel, root.level)
        root.setLevel(logging.DEBUG)
        # No other handler: whatever is found here must not be told by the report of a failed test.
        stack.callback(setattr, root, "handlers", root.handlers)
        root.handlers = [_Handler(self)]

    def _listen_to_warnings(self, stack):
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        stack.callback(lambda: [self.keep("warning", one, one.message, one.source) for one in caught])

    def _listen_to_the_collector(self, stack):
        def hook(unraisable):
            self.keep("unraisable", unraisable.err_msg, unraisable.object, *shown_by(unraisable.exc_value))

        stack.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = hook

    def _listen_to_spans(self, stack):
        exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = provider.get_tracer("program")
        reader = InMemoryMetricReader()
        meters = MeterProvider([reader], shutdown_on_exit=False)
        self._instrumentation = Instrumentation(tracer_provider=provider, meter_provider=meters)
        stack.callback(lambda: self.keep("metrics", *filter(None, [reader.get_metrics_data()])))
        instrumentor = HTTPXClientInstrumentor()
        stack.callback(self._keep_spans, exporter)
        stack.callback(instrumentor.uninstrument)
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)

    def _keep_spans(self, exporter):
        for span in exporter.get_finished_spans():
            self.keep(_SPANS.get(span.instrumentation_scope.name, "span of httpx"), span.to_json())

    def _listen_to_events(self, stack):
        client = sentry_sdk.Client(
            dsn="https://public@sentry.example/1",
            transport=_EventTransport(self),
            # Those that come by default patch the process for good.
            default_integrations=False,
            integrations=[LoggingIntegration()],
            include_local_variables=True,
            # The lines of the programs themselves are the same every time.
            include_source_context=False,
            max_request_body_size="always",
            send_default_pii=True,
            attach_stacktrace=True,
            max_value_length=100_000,
            # Or it asks git.
            release="1",
        )
        stack.enter_context(sentry_sdk.isolation_scope())
        scope = sentry_sdk.get_global_scope()
        stack.callback(scope.set_client, None)
        scope.set_client(client)

    def listen_to_loop(self):
        """Keep what the running loop of asyncio complains of; trio has no place for complaints."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().set_exception_handler(self._keep_complaint)

    def _keep_complaint(self, loop, context):
        self.keep("loop", context, *shown_by(context.get("exception")))
        loop.default_exception_handler(context)

    def show_files(self, path):
        """Keep what is in an SQLite file, and in those beside it while it is open."""
        self.keep("journal", *(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*"))))

    def hear(self, event):
        """Keep what a client tells of itself, and have spans and metrics made of it."""
        self.keep("event", repr(event), repr(attrs.asdict(event)), str(getattr(event, "error", "")))
        self._instrumentation(event)

    # --- What is shown on purpose

    def show(self, outcome):
        """Have what came of a call shown in every way that programs show it."""
        if isinstance(outcome, BaseException):
            self.show_error(outcome)
        else:
            self.show_value(outcome)

    def show_error(self, error):
        """Have an exception printed, logged, kept and sent."""
        self.keep("str", str(error))
        self.keep("repr", repr(error))
        self.keep("format", f"{error} {error!a} {error!r:>300}", "%s %r" % (error, error))  # noqa: UP031  as logs do
        self.keep("fields", *fields_of(error))
        self.keep("chain", *(part for one in chain_of(error) for part in (repr(one), *fields_of(one))))
        self.keep("pickle", *taken_along(error, pickled=True))
        self.keep("copy", *taken_along(error, pickled=False))
        self.keep("traceback", described(error))
        self.keep("rich", extracted(error), *([drawn(error)] if self._draws else []))
        traceback.print_exception(error)
        logging.getLogger("program").warning("It failed: %r", error, exc_info=error)
        with self._tracer.start_as_current_span("call") as span:
            span.record_exception(error, attributes={"error": repr(error)})
        sentry_sdk.capture_exception(error)

    def show_value(self, value):
        """Have a value printed, turned into fields and taken along."""
        self.keep("value", str(value), repr(value), pprint.pformat(value))
        self.keep("value's fields", *fields_of(value))
        self.keep("value taken along", *taken_along(value, pickled=True), *taken_along(value, pickled=False))

    def show_client(self, client):
        """Have a client printed, searched and taken along."""
        self.keep("client", str(client), repr(client), f"{client} {client!a}")
        self.keep("client's parts", *map(repr, reachable_from(client)), *fields_of(client), *fields_of(client.panel))
        self.keep("client taken along", *taken_along(client, pickled=True), repr(vars(copy.copy(client))))
        sight = client.stats, client.explain(), list(client.explain())
        self.keep("client's sight", *map(str, sight), *map(repr, sight))
        print(client, vars(client), client.unsettled(), *sight)
        for write in client.unsettled():
            self.show_value(write)


class _Handler(logging.Handler):
    """Keeps records as every handler could show them, one that prints the names in tracebacks among them."""

    def __init__(self, net):
        super().__init__()
        self._net = net

    def emit(self, record):
        self._net.keep("log", record.getMessage(), vars(record), self.format(record))
        if record.exc_info:
            self._net.keep("log", *shown_by(record.exc_info[1]))


class _EventTransport(sentry_sdk.transport.Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self, net):
        super().__init__()
        self._net = net

    def capture_envelope(self, envelope):
        for item in envelope.items:
            self._net.keep("sentry", item.get_bytes())
