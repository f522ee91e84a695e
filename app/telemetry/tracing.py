"""Traces: from a request through the workflow to its blocks, one trace an execution, by Temporal's own interceptor.

Imported by a process that is told where to send them, and by no other. What leaves it are names, times and ids: no
message of an error, and no value.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio import workflow
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.worker import WorkflowInterceptorClassInput

from app.activities.contracts.scheduling import SCHEDULED_START_WORKFLOW, execution_id_of

EXPORT_SECONDS = 5
"""How long a sending may take."""
SERVICE = "perdure"
UUID_LENGTH = 36
RouteOf = Callable[[Scope], str]


class Tracing:
    """The traces of one process."""

    def __init__(self, exporter: SpanExporter, *, process: str) -> None:
        """Begin.

        Args:
            exporter: Takes what has ended.
            process: What this process is called, e.g. `server`.
        """
        resource = Resource.create({"service.name": f"{SERVICE}-{process}", "service.namespace": SERVICE})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(Discreet(exporter)))
        self.tracer: Tracer = self._provider.get_tracer(SERVICE)
        self.interceptor = ExecutionTracing(self.tracer)
        """Of the client of Temporal; its workers take it from there."""

    def requests_of(self, route_of: RouteOf) -> Callable[[ASGIApp], ASGIApp]:
        """Return the ASGI middleware that traces requests.

        Args:
            route_of: Says which route a request has found.
        """
        return lambda app: TraceRequests(app, self.tracer, route_of)

    def flush(self) -> None:
        """Send what has ended."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        self._provider.shutdown()


def make_tracing(endpoint: str, *, process: str) -> Tracing:
    """Return traces that are sent to a collector.

    Args:
        endpoint: Its address, without the path of the traces.
        process: What this process is called.
    """
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS)
    return Tracing(exporter, process=process)


class Discreet(SpanExporter):
    """Passes spans on without what was said in them: the text of an error may quote a value, or a secret."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Take who sends them."""
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Pass spans on."""
        return self._exporter.export([_silenced(span) for span in spans])

    def shutdown(self) -> None:
        """End."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have everything sent."""
        return self._exporter.force_flush(timeout_millis)


def _silenced(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


class ExecutionTracing(TracingInterceptor):
    """Traces what clients, workflows and activities do."""

    def __init__(self, tracer: Tracer) -> None:
        """Take what makes spans."""
        # Also of executions that nobody's request has begun: where these belong is known from their ids.
        super().__init__(tracer, always_create_workflow_spans=True)

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Return what traces workflows."""
        super().workflow_interceptor_class(input)
        return _WorkflowTracing


class _WorkflowTracing(TracingWorkflowInboundInterceptor):
    """Traces a workflow. One that was started without a trace has the one that follows from its id."""

    def _load_workflow_context_carrier(self) -> dict[str, str | list[str]]:
        carrier = super()._load_workflow_context_carrier()
        if carrier is None:
            carrier = self._workflow_context_carrier = carrier_of(_own_id(workflow.info()))
        return carrier


def _own_id(info: workflow.Info) -> str:
    """Return what a workflow that was started without a trace is named after: the fire of a schedule its execution."""
    if info.workflow_type == SCHEDULED_START_WORKFLOW:
        # Temporal puts the time behind the id that a schedule gives.
        return execution_id_of(info.workflow_id[:UUID_LENGTH], info.first_execution_run_id)
    return info.workflow_id


def carrier_of(workflow_id: str) -> dict[str, str | list[str]]:
    """Return the trace of an execution that was started without one: the same in every run and on every worker."""
    execution_id = workflow_id.partition("/")[0]
    digest = hashlib.sha256(execution_id.encode()).hexdigest()
    try:
        trace_id = uuid.UUID(execution_id).hex
    except ValueError:
        trace_id = digest[16:48]
    return {"traceparent": f"00-{trace_id}-{digest[:16]}-01"}


class TraceRequests:
    """ASGI middleware: a request is a span. Its path is that of its route, for a path itself may be a secret."""

    def __init__(self, app: ASGIApp, tracer: Tracer, route_of: RouteOf) -> None:
        self._app = app
        self._tracer = tracer
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        method = scope["method"] if scope["method"].isalpha() and len(scope["method"]) < 10 else "OTHER"
        with self._tracer.start_as_current_span(
            method, extract(headers), kind=SpanKind.SERVER, attributes={"http.request.method": method}
        ) as span:

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = self._route_of(scope)
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                    span.set_attribute("http.response.status_code", message["status"])
                    request_id = scope.get("state", {}).get("request_id")
                    if request_id:
                        span.set_attribute("perdure.request_id", request_id)
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, send_traced)
