// Package telemetry sends traces and metrics by OTLP over HTTP, if it is told
// where to. It is the only user of OpenTelemetry's SDK.
//
// An attribute is an ID of ours, a word of ours or a number: never a name, an
// address, a link or a part of one.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"rollcall/internal/fault"
	"rollcall/internal/obs"
)

const (
	// delay is how long what has ended waits for company before it is sent: the
	// host stops the process by a kill, without a warning, and what waits then
	// is lost.
	delay = 5 * time.Second
	// sending bounds one request with its tries, so that a collector that hangs
	// holds up what comes after it no longer than that.
	sending = 10 * time.Second
	// queued is the most spans that wait, some 2 MB. What is above is dropped:
	// no work waits for a collector.
	queued = 4096
)

// Options say where telemetry goes.
type Options struct {
	// Endpoint is a collector's https URL; traces go to /v1/traces below it,
	// metrics to /v1/metrics.
	Endpoint string
	// Headers are sent along, such as the collector's key.
	Headers map[string]string
	// Percent is how many of 100 traces are recorded.
	Percent int
	Client  *http.Client
	Log     *slog.Logger
}

// Telemetry records what goes on. A nil one records nothing, and hands back
// what it is given. It is safe for concurrent use.
type Telemetry struct {
	tracer  trace.Tracer
	metrics instruments
	spans   *sdktrace.TracerProvider
	meters  *sdkmetric.MeterProvider
}

// New returns a telemetry that sends until it is closed. It connects when there
// is something to send.
func New(o Options) (_ *Telemetry, err error) {
	defer fault.Wrap(&err, "telemetry")
	to := func(path string) sender { return sender{url: o.Endpoint + path, headers: o.Headers, client: o.Client} }
	// OpenTelemetry has one place in a process for its own trouble.
	otel.SetErrorHandler(&complaints{log: o.Log, now: time.Now})
	about := resource.NewSchemaless(attribute.String("service.name", "rollcall"))
	t := &Telemetry{
		spans: sdktrace.NewTracerProvider(sdktrace.WithResource(about),
			sdktrace.WithSampler(sampler(o.Percent)),
			sdktrace.WithBatcher(spanExporter{to("/v1/traces")}, sdktrace.WithBatchTimeout(delay), sdktrace.WithExportTimeout(sending), sdktrace.WithMaxQueueSize(queued))),
		meters: sdkmetric.NewMeterProvider(sdkmetric.WithResource(about),
			// Not the SDK's 2,000: of what varies only connections are many, and one
			// beyond the limit would be told of no more.
			sdkmetric.WithCardinalityLimit(0),
			sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // they are not sent
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter{to("/v1/metrics")}, sdkmetric.WithInterval(delay), sdkmetric.WithTimeout(sending)))),
	}
	// Never OpenTelemetry's global provider: the Graph SDK would find it there,
	// and record the addresses that it calls.
	t.tracer = t.spans.Tracer("rollcall")
	if t.metrics, err = newInstruments(t.meters.Meter("rollcall")); err != nil {
		return nil, errors.Join(err, t.Close(context.Background()))
	}
	return t, nil
}

// Close sends what waits, as long as ctx lets it, and records nothing more.
func (t *Telemetry) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := errors.Join(t.spans.Shutdown(ctx), t.meters.Shutdown(ctx)); err != nil {
		return fmt.Errorf("telemetry: close: %w", err)
	}
	return nil
}

// sampler decides by the trace's ID alone, so that all instances agree on a
// trace, and a stranger's wish to be recorded counts for nothing.
func sampler(percent int) sdktrace.Sampler {
	part := sdktrace.TraceIDRatioBased(float64(percent) / 100)
	return sdktrace.ParentBased(part, sdktrace.WithRemoteParentSampled(part), sdktrace.WithRemoteParentNotSampled(part))
}

// Begin begins a span: of the one that ctx is in, else of the caller's trace,
// as package obs knows it. What is logged and sent under the context that it
// returns is of that span. The function that it returns ends the span.
func (t *Telemetry) Begin(ctx context.Context, name string) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	return t.begin(ctx, name, trace.SpanKindInternal)
}

func (t *Telemetry) begin(ctx context.Context, name string, kind trace.SpanKind, about ...attribute.KeyValue) (context.Context, func(error)) {
	who := obs.From(ctx)
	if !trace.SpanContextFromContext(ctx).IsValid() && who.Traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": who.Traceparent})
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(about...))
	sent := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, sent)
	who.Traceparent = sent["traceparent"]
	return obs.With(ctx, who), func(err error) { end(span, err) }
}

// end ends a span. Of an error it tells the kind and code: the text may quote
// others.
func end(span trace.Span, err error) {
	if err != nil {
		e := fault.Of(err)
		span.SetStatus(codes.Error, e.Kind.String())
		span.SetAttributes(attribute.String("error.type", e.Kind.String()), attribute.String("rollcall.code", word(e.Code)))
	}
	span.End()
}

// complaints logs what OpenTelemetry cannot do, once in a while.
type complaints struct {
	log  *slog.Logger
	now  func() time.Time
	mu   sync.Mutex
	last time.Time
}

// complaining is the least time between two complaints.
const complaining = 5 * time.Minute

func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.last) >= complaining {
		c.last = now
		c.log.Warn("telemetry not sent", "err", err)
	}
}
