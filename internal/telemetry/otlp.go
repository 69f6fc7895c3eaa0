package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// pause is the wait before a second try, if the collector names none; it
	// doubles with each one after.
	pause = time.Second
	// maxAnswer is the most of an answer that is read. One to a request that was
	// taken whole is empty.
	maxAnswer = 64 << 10
)

// sender posts to one of a collector's addresses, by OTLP over HTTP (documented,
// OpenTelemetry Protocol Specification, "OTLP/HTTP").
type sender struct {
	url     string
	headers map[string]string
	client  *http.Client
}

// send posts a request, again if the collector asks for that, for at most
// [sending]. What may have arrived is not sent twice: counts would be doubled.
func (s sender) send(ctx context.Context, request []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sending)
	defer cancel()
	for wait := pause; ; wait *= 2 {
		again, after, err := s.post(ctx, request)
		wait = max(wait, after)
		if end, _ := ctx.Deadline(); !again || time.Until(end) <= wait {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// post reports whether another try may help, and how long the collector wants
// to be left alone.
func (s sender) post(ctx context.Context, request []byte) (again bool, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(request))
	if err != nil {
		return false, 0, err
	}
	for name, v := range s.headers {
		req.Header.Set(name, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := s.client.Do(req)
	if err != nil {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == "dial", 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			after = time.Duration(min(n, int(sending/time.Second))) * time.Second
		}
		return true, after, fmt.Errorf("the collector answered %s", resp.Status)
	}
	if resp.StatusCode/100 != 2 {
		return false, 0, fmt.Errorf("the collector answered %s", resp.Status)
	}
	if n, why := rejected(answer); err == nil && n > 0 {
		return false, 0, fmt.Errorf("the collector did not take %d of them: %s", n, why)
	}
	return false, 0, nil // it has taken them, whatever became of its answer
}

// spanExporter sends spans.
type spanExporter struct{ sender }

func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	return e.send(ctx, traces(spans))
}

func (spanExporter) Shutdown(context.Context) error { return nil }

// metricExporter sends metrics, if there are any.
type metricExporter struct{ sender }

// Temporality is that of counts: instances come and go, and what each has added
// up is of no use to anybody.
func (metricExporter) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.DeltaTemporality
}

func (metricExporter) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}

func (e metricExporter) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	request, err := metrics(m)
	if err != nil || request == nil {
		return err
	}
	return e.send(ctx, request)
}

func (metricExporter) ForceFlush(context.Context) error { return nil }

func (metricExporter) Shutdown(context.Context) error { return nil }
