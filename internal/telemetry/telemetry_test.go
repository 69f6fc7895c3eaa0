package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/obs"
)

const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

// sent records with do and returns the spans that a collector got.
func sent(t *testing.T, percent int, do func(*Telemetry)) (spans []*wire.Span, raw string) {
	t.Helper()
	var mu sync.Mutex
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		raw += string(b)
		var req collect.ExportTraceServiceRequest
		if r.URL.Path == "/v1/traces" && proto.Unmarshal(b, &req) == nil {
			for _, rs := range req.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					spans = append(spans, ss.Spans...)
				}
			}
		}
	}))
	defer collector.Close()
	tele, err := New(Options{Endpoint: collector.URL, Percent: percent, Client: collector.Client(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	do(tele)
	if err := tele.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return spans, raw
}

func names(spans []*wire.Span) (all []string) {
	for _, s := range spans {
		all = append(all, s.Name)
	}
	slices.Sort(all)
	return all
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Names and attributes tell nothing of addresses, and a failure only its kind.
func TestNothingOfOthersIsTold(t *testing.T) {
	var outgoing http.Header
	answer := roundTrip(func(r *http.Request) (*http.Response, error) {
		outgoing = r.Header
		if strings.Contains(r.URL.Path, "fail") {
			return nil, errors.New("SECRET")
		}
		return &http.Response{StatusCode: 200, Header: http.Header{"X-Ms-Resource-Unit": {"2"}}, Body: io.NopCloser(strings.NewReader("SECRET"))}, nil
	})
	spans, raw := sent(t, 100, func(tele *Telemetry) {
		ctx, done := tele.Begin(obs.With(t.Context(), obs.Correlation{Traceparent: caller}), "synctimer")
		get := func(rt http.RoundTripper, method, url string) {
			r, err := http.NewRequestWithContext(ctx, method, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := rt.RoundTrip(r)
			if err == nil {
				_, _ = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
		}
		graph := tele.Graph("https://graph.example", answer)
		get(graph, "GET", "https://graph.example/v1.0/users/delta?$deltatoken=SECRET")
		get(graph, "GET", "https://graph.example/v1.0/users/SECRET@example.com/manager")
		get(graph, "GET", "https://graph.example/v1.0/reports/getMailboxUsageDetail(period='SECRET')")
		get(graph, "GET", "https://reports.example/SECRET?sig=SECRET")
		get(graph, "GET", "https://graph.example/fail/SECRET")
		tables := tele.Tables(answer)
		get(tables, "POST", "https://account.example/$batch")
		get(tables, "GET", "https://account.example/directory(PartitionKey='SECRET',RowKey='SECRET')?$filter=SECRET")
		do := tele.Job(func(context.Context, job.Job) error {
			return fault.New(fault.Denied, "SECRET").WithCode("no code, but SECRET")
		})
		_ = do(ctx, job.Job{Kind: job.Sync, Connection: "c", Run: "r", Person: "SECRET", Trigger: job.Person})
		done(errors.New("SECRET"))
		h := tele.Requests("/connect/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("SECRET", "/connect/SECRET?code=SECRET", nil))
	})
	if strings.Contains(raw, "SECRET") {
		t.Errorf("told: %q", raw)
	}
	want := []string{
		"_OTHER /connect/", "graph GET /v1.0/reports/getMailboxUsageDetail", "graph GET /v1.0/users/delta", "graph GET /v1.0/users/{}/manager", "graph GET /{}/{}",
		"graph download", "job sync", "synctimer", "table GET directory", "table transaction",
	}
	slices.Sort(want)
	if got := names(spans); !slices.Equal(got, want) {
		t.Errorf("spans %q, want %q", got, want)
	}
	for _, s := range spans {
		failed := slices.Contains([]string{"synctimer", "job sync", "graph GET /{}/{}", "_OTHER /connect/"}, s.Name)
		if got := s.GetStatus().GetCode() == wire.Status_STATUS_CODE_ERROR; got != failed {
			t.Errorf("%s: failed %v, want %v", s.Name, got, failed)
		}
	}
	if outgoing.Get("traceparent") != "" {
		t.Error("the trace is told to Microsoft")
	}
}

// The caller's trace goes on, whatever it wants recorded; what is sent on and
// logged is the span's.
func TestTraceGoesOn(t *testing.T) {
	var on string
	spans, _ := sent(t, 100, func(tele *Telemetry) {
		ctx, done := tele.Begin(obs.With(t.Context(), obs.Correlation{Invocation: "i", Traceparent: caller}), "syncworker")
		if on = obs.Traceparent(ctx); on[:36] != caller[:36] || on == caller || obs.From(ctx).Invocation != "i" {
			t.Errorf("goes on as %+v", obs.From(ctx))
		}
		done(nil)
	})
	if len(spans) != 1 || len(spans[0].ParentSpanId) == 0 || !strings.HasSuffix(on, "-01") {
		t.Errorf("spans %v, %s", spans, on)
	}
	for _, flag := range []string{"00", "01"} { // nobody from outside decides what is recorded
		spans, _ = sent(t, 0, func(tele *Telemetry) {
			_, done := tele.Begin(obs.With(t.Context(), obs.Correlation{Traceparent: caller[:53] + flag}), "synctimer")
			done(nil)
		})
		if len(spans) != 0 {
			t.Errorf("recorded at 0 percent: %v", names(spans))
		}
	}
}

// Off, everything is handed back as it was, and costs nothing.
func TestOff(t *testing.T) {
	var off *Telemetry
	rt := &http.Transport{}
	if off.Graph("https://graph.example", rt) != rt || off.Tables(rt) != rt {
		t.Error("a transport is wrapped")
	}
	h := http.NewServeMux()
	if off.Requests("/", h) != h {
		t.Error("a handler is wrapped")
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		in, done := off.Begin(ctx, "x")
		in, phase := off.Phase(in, "c", job.Run{})
		off.Ended(in, job.Run{})
		off.Aged(in, "c", time.Hour)
		phase(job.Run{}, nil)
		done(nil)
		if in != ctx {
			t.Error("another context")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := off.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A collector that does not answer holds nobody up.
func TestCloseIsBounded(t *testing.T) {
	hang := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer collector.Close()
	defer close(hang)
	tele, err := New(Options{Endpoint: collector.URL, Percent: 100, Client: collector.Client(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, done := tele.Begin(t.Context(), "x")
	done(nil)
	tele.Ended(t.Context(), job.Run{State: job.Succeeded})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := tele.Close(ctx); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("closed after %s: %v", time.Since(began), err)
	}
}
