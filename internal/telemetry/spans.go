package telemetry

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"rollcall/internal/job"
)

// plainWord is what an error's code may look like to be told.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func word(s string) string {
	if s == "" || plainWord.MatchString(s) {
		return s
	}
	return "other"
}

// Requests records each request that next answers, by the pattern of its route.
func (t *Telemetry) Requests(pattern string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
			method = "_OTHER" // OpenTelemetry semantic conventions, HTTP spans
		}
		ctx, done := t.begin(r.Context(), strings.TrimSpace(method+" "+path(pattern)), trace.SpanKindServer,
			attribute.String("http.request.method", method), attribute.String("http.route", path(pattern)))
		defer done(nil)
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(seen, r.WithContext(ctx))
		answered(trace.SpanFromContext(ctx), seen.code, http.StatusInternalServerError)
	})
}

// path is a route's pattern without the method that it may begin with.
func path(pattern string) string { return pattern[strings.Index(pattern, "/"):] }

// status notes an answer's status.
type status struct {
	http.ResponseWriter
	code  int
	wrote bool
}

func (s *status) WriteHeader(code int) {
	if !s.wrote {
		s.code, s.wrote = code, code >= http.StatusOK
	}
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	s.wrote = true
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// answered notes a status, which is a failure from the given one on.
func answered(span trace.Span, code, failed int) {
	span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= failed {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(code)))
	}
}

// Job records each job that do does.
func (t *Telemetry) Job(do func(context.Context, job.Job) error) func(context.Context, job.Job) error {
	if t == nil {
		return do
	}
	return func(ctx context.Context, j job.Job) (err error) {
		ctx, done := t.begin(ctx, "job "+string(j.Kind), trace.SpanKindConsumer,
			attribute.String("rollcall.connection", j.Connection), attribute.String("rollcall.run", j.Run), attribute.String("rollcall.trigger", word(string(j.Trigger))),
			attribute.Int("rollcall.slice", j.Slice), attribute.Int("rollcall.try", j.Try))
		defer func() { done(err) }()
		return do(ctx, j)
	}
}

// Phase records one phase of a run. The function that it returns ends it with
// the run as it is then.
func (t *Telemetry) Phase(ctx context.Context, connection string, before job.Run) (context.Context, func(after job.Run, err error)) {
	if t == nil {
		return ctx, func(job.Run, error) {}
	}
	pages, transactions := before.Pages, before.Transactions
	in, done := t.begin(ctx, "phase "+before.Phase, trace.SpanKindInternal,
		attribute.String("rollcall.connection", connection), attribute.String("rollcall.run", before.ID), attribute.String("rollcall.phase", before.Phase))
	return in, func(after job.Run, err error) {
		trace.SpanFromContext(in).SetAttributes(
			attribute.Int("rollcall.pages", max(0, after.Pages-pages)), attribute.Int("rollcall.transactions", max(0, after.Transactions-transactions)))
		done(err)
	}
}

// Graph records the requests to Microsoft Graph that next makes as part of
// something that is recorded, and counts them all. The endpoint is Graph's.
func (t *Telemetry) Graph(endpoint string, next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return transport{t, next, func(r *http.Request) string {
		if "https://"+r.URL.Host != endpoint {
			return "graph download" // of a report: its address lets anybody read it
		}
		return "graph " + r.Method + " " + template(r.URL.Path)
	}, t.charge}
}

// charge counts what a request to Graph came to.
func (t *Telemetry) charge(ctx context.Context, span trace.Span, resp *http.Response) {
	code, units := 0, 0
	if resp != nil {
		code = resp.StatusCode
		if n, err := strconv.Atoi(resp.Header.Get("x-ms-resource-unit")); err == nil && n > 0 && n <= maxUnits {
			units = n
		}
	}
	t.metrics.requests.Add(ctx, 1, metric.WithAttributes(attribute.Int("status", code)))
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		t.metrics.throttled.Add(ctx, 1)
	}
	if units > 0 {
		t.metrics.units.Add(ctx, int64(units))
		span.SetAttributes(attribute.Int("rollcall.units", units))
	}
}

// maxUnits is more than any request costs.
const maxUnits = 10_000

// words are the parts of Graph's paths that are told; whatever else stands
// there may be somebody's.
var words = []string{
	"v1.0", "users", "groups", "delta", "members", "transitiveMembers", "microsoft.graph.user", "manager", "organization", "subscribedSkus", "$batch",
	"directoryObjects", "getByIds", "reports", "getMailboxUsageDetail", "deletedItems", "directory",
}

func template(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		if p, _, _ = strings.Cut(p, "("); slices.Contains(words, p) {
			parts[i] = p
		} else {
			parts[i] = "{}"
		}
	}
	return "/" + strings.Join(parts, "/")
}

// Tables records the requests to Table Storage that next makes as part of
// something that is recorded.
func (t *Telemetry) Tables(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return transport{t, next, func(r *http.Request) string {
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		if name == "$batch" {
			return "table transaction"
		}
		name, _, _ = strings.Cut(name, "(") // then come the keys
		if !plainWord.MatchString(name) {
			name = "{}"
		}
		return "table " + r.Method + " " + name
	}, nil}
}

// transport records requests by name.
type transport struct {
	t     *Telemetry
	next  http.RoundTripper
	name  func(*http.Request) string
	count func(context.Context, trace.Span, *http.Response)
}

func (p transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := r.Context(), trace.SpanFromContext(context.Background())
	// Not whether the span records: the Graph SDK puts one of its own in between,
	// which does not.
	if trace.SpanContextFromContext(ctx).IsSampled() {
		// Nothing is sent along: the trace is nobody else's business.
		ctx, span = p.t.tracer.Start(ctx, p.name(r), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("http.request.method", r.Method)))
	}
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	if p.count != nil {
		p.count(ctx, span, resp)
	}
	if err != nil {
		end(span, err)
		return resp, err
	}
	answered(span, resp.StatusCode, http.StatusBadRequest)
	switch {
	case resp.Body == http.NoBody:
		span.End()
	case span.IsRecording():
		resp.Body = &body{ReadCloser: resp.Body, span: span}
	}
	return resp, nil
}

// body ends the span of its request when it is read or closed.
type body struct {
	io.ReadCloser
	span trace.Span
	size int64
	once sync.Once
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.size += int64(n)
	if err != nil {
		b.done()
	}
	return n, err
}

func (b *body) Close() error {
	b.done()
	return b.ReadCloser.Close()
}

func (b *body) done() {
	b.once.Do(func() {
		b.span.SetAttributes(attribute.Int64("http.response.body.size", b.size))
		b.span.End()
	})
}
