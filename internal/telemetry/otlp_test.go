package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	wiremetrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/obs"
)

// attributesOf are attributes as a collector reads them.
func attributesOf(kvs []*common.KeyValue) map[string]any {
	all := make(map[string]any)
	for _, kv := range kvs {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[kv.Key] = v.IntValue
		case *common.AnyValue_BoolValue:
			all[kv.Key] = v.BoolValue
		case *common.AnyValue_DoubleValue:
			all[kv.Key] = v.DoubleValue
		default:
			all[kv.Key] = fmt.Sprintf("%T", v)
		}
	}
	return all
}

// A span arrives whole, read by the types that OpenTelemetry generates.
func TestSpanOnTheWire(t *testing.T) {
	before := time.Now()
	spans, _ := sent(t, 100, func(tele *Telemetry) {
		ctx, done := tele.begin(obs.With(t.Context(), obs.Correlation{Traceparent: caller}), "job sync", trace.SpanKindConsumer,
			attribute.String("s", "Zoë \xff"), attribute.Int("i", -7), attribute.Int("zero", 0), attribute.Bool("no", false), attribute.Float64("f", 0.5), attribute.Float64("none", 0), attribute.String("empty", ""))
		_, child := tele.Begin(ctx, "phase")
		child(nil)
		done(fault.New(fault.Denied, "x").WithCode("c"))
	})
	byName := make(map[string]*wire.Span)
	for _, s := range spans {
		byName[s.Name] = s
	}
	s, child := byName["job sync"], byName["phase"]
	if len(spans) != 2 || s == nil || child == nil {
		t.Fatalf("spans %v", spans)
	}
	if got := fmt.Sprintf("%x %x", s.TraceId, s.ParentSpanId); got != "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331" {
		t.Errorf("goes on from %s", got)
	}
	if len(s.SpanId) != 8 || string(child.ParentSpanId) != string(s.SpanId) || string(child.TraceId) != string(s.TraceId) {
		t.Errorf("the child is of %x in %x", child.ParentSpanId, child.TraceId)
	}
	if s.Kind != wire.Span_SPAN_KIND_CONSUMER || child.Kind != wire.Span_SPAN_KIND_INTERNAL {
		t.Errorf("kinds %s, %s", s.Kind, child.Kind)
	}
	if s.Flags != 0x301 || child.Flags != 0x101 {
		t.Errorf("flags %x, %x: want sampled, the first of a remote parent", s.Flags, child.Flags)
	}
	begun, ended := time.Unix(0, int64(s.StartTimeUnixNano)), time.Unix(0, int64(s.EndTimeUnixNano))
	if begun.Before(before) || ended.Before(begun) || ended.After(time.Now()) {
		t.Errorf("from %s to %s", begun, ended)
	}
	if s.Status.GetCode() != wire.Status_STATUS_CODE_ERROR || s.Status.GetMessage() == "" || child.Status.GetCode() != wire.Status_STATUS_CODE_UNSET {
		t.Errorf("status %v, %v", s.Status, child.Status)
	}
	want := map[string]any{
		"s": "Zoë \uFFFD", "i": int64(-7), "zero": int64(0), "no": false, "f": 0.5, "none": 0.0, "empty": "", "error.type": s.Status.GetMessage(), "rollcall.code": "c",
	}
	got := attributesOf(s.Attributes)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

// counted records with do and returns the metrics that a collector got, and
// what they are of.
func counted(t *testing.T, do func(*Telemetry)) (all map[string]*wiremetrics.Metric, of map[string]any) {
	t.Helper()
	var mu sync.Mutex
	all = make(map[string]*wiremetrics.Metric)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var req collectmetrics.ExportMetricsServiceRequest
		if r.URL.Path != "/otlp/v1/metrics" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Key") != "k" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := proto.Unmarshal(b, &req); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rm := range req.ResourceMetrics {
			of = attributesOf(rm.Resource.Attributes)
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					all[m.Name] = m
				}
			}
		}
	}))
	defer collector.Close()
	tele, err := New(Options{Endpoint: collector.URL + "/otlp", Headers: map[string]string{"X-Key": "k"}, Client: collector.Client(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	do(tele)
	if err := tele.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return all, of
}

// Metrics arrive whole: counts as what was added, the age as it is.
func TestMetricsOnTheWire(t *testing.T) {
	all, of := counted(t, func(tele *Telemetry) {
		for range 3 {
			tele.Ended(t.Context(), job.Run{State: job.Succeeded, Trigger: job.Schedule})
		}
		tele.Aged(t.Context(), "c1", 90*time.Minute)
		tele.Aged(t.Context(), "c0", 0)
	})
	if fmt.Sprint(of) != "map[service.name:rollcall]" {
		t.Errorf("of %v", of)
	}
	runs := all["rollcall.runs"]
	sum := runs.GetSum()
	if runs.GetUnit() != "{run}" || !strings.HasPrefix(runs.GetDescription(), "Runs that have ended") || len(sum.GetDataPoints()) != 1 ||
		!sum.IsMonotonic || sum.AggregationTemporality != wiremetrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
		t.Fatalf("runs: %v", runs)
	}
	p := sum.DataPoints[0]
	if p.GetAsInt() != 3 || fmt.Sprint(attributesOf(p.Attributes)) != "map[state:succeeded trigger:schedule]" || p.StartTimeUnixNano == 0 || p.TimeUnixNano < p.StartTimeUnixNano {
		t.Errorf("runs: %v", p)
	}
	ages := make(map[any]any)
	for _, p := range all["rollcall.sync.age"].GetGauge().GetDataPoints() {
		ages[attributesOf(p.Attributes)["connection"]] = p.Value
	}
	want := map[any]any{"c1": &wiremetrics.NumberDataPoint_AsDouble{AsDouble: 5400}, "c0": &wiremetrics.NumberDataPoint_AsDouble{}}
	if !reflect.DeepEqual(ages, want) {
		t.Errorf("ages: %v", ages)
	}
}

// However many connections there are, each is told of under its own name.
func TestEveryConnectionIsTold(t *testing.T) {
	const n = 2001 // one more than the SDK keeps apart by itself
	all, _ := counted(t, func(tele *Telemetry) {
		for i := range n {
			tele.Aged(t.Context(), fmt.Sprintf("c%d", i), time.Hour)
		}
	})
	seen := make(map[any]bool)
	for _, p := range all["rollcall.sync.age"].GetGauge().GetDataPoints() {
		of := attributesOf(p.Attributes)
		if of["connection"] == nil {
			t.Fatalf("a point of %v", of)
		}
		seen[of["connection"]] = true
	}
	if len(seen) != n {
		t.Errorf("told of %d connections, want %d", len(seen), n)
	}
}

// A metric that the wire has no form for here is an error, not a gap.
func TestUnknownMetric(t *testing.T) {
	if _, err := series(metricdata.Metrics{Name: "h", Data: metricdata.Histogram[int64]{}}); err == nil {
		t.Error("a histogram is taken")
	}
}

// Which answers are a reason to try again, and when.
func TestTries(t *testing.T) {
	partial, err := proto.Marshal(&collect.ExportTraceServiceResponse{PartialSuccess: &collect.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "too old"}})
	if err != nil {
		t.Fatal(err)
	}
	warned, err := proto.Marshal(&collect.ExportTraceServiceResponse{PartialSuccess: &collect.ExportTracePartialSuccess{ErrorMessage: "soon too many"}})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(code int, after string, body []byte) roundTrip {
		return func(*http.Request) (*http.Response, error) {
			h := http.Header{}
			if after != "" {
				h.Set("Retry-After", after)
			}
			return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Header: h, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
		}
	}
	fail := func(err error) roundTrip { return func(*http.Request) (*http.Response, error) { return nil, err } }
	well := answer(200, "", nil)
	for name, c := range map[string]struct {
		answers []roundTrip
		tries   int
		took    time.Duration
		err     string
	}{
		"well":               {[]roundTrip{well}, 1, 0, ""},
		"busy, twice":        {[]roundTrip{answer(429, "", nil), answer(502, "", nil), well}, 3, 3 * time.Second, ""}, // 1 s and 2 s
		"as long as asked":   {[]roundTrip{answer(503, "4", nil), well}, 2, 4 * time.Second, ""},
		"senseless wish":     {[]roundTrip{answer(504, "-9", nil), well}, 2, time.Second, ""},
		"for too long":       {[]roundTrip{answer(503, "86400", nil), well}, 1, 0, "503"},
		"no way":             {[]roundTrip{answer(401, "", nil), well}, 1, 0, "401"},
		"never arrived":      {[]roundTrip{fail(&net.OpError{Op: "dial", Err: errors.New("refused")}), well}, 2, time.Second, ""},
		"may have arrived":   {[]roundTrip{fail(&net.OpError{Op: "read", Err: errors.New("cut off")}), well}, 1, 0, "cut off"},
		"not all of it":      {[]roundTrip{answer(200, "", partial)}, 1, 0, "did not take 2 of them: too old"},
		"taken, and warned":  {[]roundTrip{answer(200, "", warned)}, 1, 0, ""},
		"taken, and garbled": {[]roundTrip{answer(200, "", []byte{0xff, 0xff})}, 1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, began := 0, time.Now()
				s := sender{url: "https://collector.example/v1/traces", headers: map[string]string{"X-Key": "k"}, client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					b, err := io.ReadAll(r.Body)
					if err != nil || string(b) != "request" || r.Header.Get("X-Key") != "k" || r.Method != "POST" {
						t.Errorf("try %d: %s %q, %v", tries, r.Method, b, err)
					}
					tries++
					return c.answers[min(tries, len(c.answers))-1](r)
				})}}
				err := s.send(context.Background(), []byte("request"))
				if tries != c.tries || time.Since(began) != c.took {
					t.Errorf("%d tries in %s, want %d in %s", tries, time.Since(began), c.tries, c.took)
				}
				if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
			})
		})
	}
}

// Whatever a collector answers, reading it ends, and agrees with the generated
// types where these can read it.
func FuzzRejected(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x05, 0x08, 0x02, 0x12, 0x01, 'x'})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x0d, 0x01, 0x02, 0x03})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, why := rejected(b)
		var want collect.ExportTraceServiceResponse
		if proto.Unmarshal(b, &want) != nil {
			return
		}
		if plain, err := proto.Marshal(&want); err != nil || string(plain) != string(b) {
			return // with fields that they do not know, or the same one twice
		}
		if p := want.PartialSuccess; n != p.GetRejectedSpans() || why != p.GetErrorMessage() {
			t.Errorf("%x: %d, %q, want %v", b, n, why, p)
		}
	})
}
