package proof

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
)

// collector takes OTLP over HTTP, as binary protobuf. Source: OpenTelemetry
// Protocol, "OTLP/HTTP".
type collector struct {
	*httptest.Server
	ca *pki.CA

	mu     sync.Mutex
	spans  []*trace.Span
	points map[string][]*metrics.NumberDataPoint // by metric
	raw    strings.Builder
	keys   map[string]bool
	wrong  []string
}

const collectorKey = "some-key"

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{points: map[string][]*metrics.NumberDataPoint{}, keys: map[string]bool{}}
	var err error
	if c.ca, err = pki.New(); err != nil {
		t.Fatal(err)
	}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.take))
	if c.TLS, err = c.ca.ServerTLS(); err != nil {
		t.Fatal(err)
	}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.wrong = append(c.wrong, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type"))
	}
	c.raw.Write(b)
	c.keys[r.Header.Get("X-Key")] = true
	switch r.URL.Path {
	case "/v1/traces":
		var req collecttrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &req); err != nil {
			c.wrong = append(c.wrong, err.Error())
		}
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	case "/v1/metrics":
		var req collectmetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(b, &req); err != nil {
			c.wrong = append(c.wrong, err.Error())
		}
		for _, rm := range req.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					c.points[m.Name] = append(c.points[m.Name], m.GetSum().GetDataPoints()...)
					c.points[m.Name] = append(c.points[m.Name], m.GetGauge().GetDataPoints()...)
				}
			}
		}
	default:
		c.wrong = append(c.wrong, r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // an empty answer is a whole success
}

func attr(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// sum adds up the points of a metric that have the attribute.
func (c *collector) sum(name, key, value string) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.points[name] {
		if key == "" || attr(p.Attributes, key) == value {
			n += p.GetAsInt()
		}
	}
	return n
}

// aged are the ages told of a connection, in seconds.
func (c *collector) aged(connection string) (all []float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.points["rollcall.sync.age"] {
		if attr(p.Attributes, "connection") == connection {
			all = append(all, p.GetAsDouble())
		}
	}
	return all
}

// certificates is a folder with the root certificate, for SSL_CERT_DIR.
func certificates(t *testing.T, ca *pki.CA) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "root.pem"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// way are the names of the spans from the trace's beginning to s.
func (c *collector) way(s *trace.Span) (names []string) {
	for s != nil {
		names = append(names, s.Name)
		i := slices.IndexFunc(c.spans, func(p *trace.Span) bool {
			return string(p.SpanId) == string(s.ParentSpanId) && string(p.TraceId) == string(s.TraceId)
		})
		if i < 0 {
			break
		}
		s = c.spans[i]
	}
	slices.Reverse(names)
	return names
}

// find waits for a span at the end of the way, and returns all of its kind.
func (c *collector) find(t *testing.T, way string) (found []*trace.Span) {
	t.Helper()
	like := regexp.MustCompile(way)
	var ways []string
	err := sandbox.Await(within(t, 30*time.Second), "a span "+way, func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		found, ways = nil, nil
		for _, s := range c.spans {
			w := strings.Join(c.way(s), " > ")
			ways = append(ways, w)
			if like.MatchString(w) {
				found = append(found, s)
			}
		}
		return len(found) > 0, nil
	})
	if err != nil {
		slices.Sort(ways)
		t.Fatalf("%v; spans:\n%s", err, strings.Join(slices.Compact(ways), "\n"))
	}
	return found
}

// One trace leads from the timer's tick over the queue to the pages of Graph
// and the transactions; what is counted is what happened; and nothing that is
// somebody's is told.
func TestTelemetry(t *testing.T) {
	// Without the setting nothing is sent, whatever else the environment says.
	// When what was recorded later has arrived, this would have.
	trap := newCollector(t)
	off := start(t, sandbox.Options{Settings: map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": trap.URL + "/v1/traces", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": trap.URL + "/v1/metrics",
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "SSL_CERT_DIR": certificates(t, trap.ca),
	}})
	if err := off.Host.Fire(t.Context(), "synctimer"); err != nil {
		t.Fatal(err)
	}
	if err := off.Host.Fire(t.Context(), "janitor"); err != nil {
		t.Fatal(err)
	}

	col := newCollector(t)
	var log memory
	s := start(t, sandbox.Options{Log: &log, Settings: map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": col.URL, "OTEL_EXPORTER_OTLP_HEADERS": "X-Key=" + collectorKey, "TRACES_PERCENT": "100",
		"SSL_CERT_DIR": certificates(t, col.ca), "SYNC_SPREAD": "0s",
	}})
	c := connected(t, s, tenant.Spec{Name: "Contoso", People: 40, Seed: 3})
	disarm := c.arm(t, s, fault.Fault{Kind: fault.Throttle, Count: 1, RetryAfter: "0.1"})
	age(t, s, c, "NextDue", time.Now().Add(-time.Minute))
	if err := s.Host.Fire(t.Context(), "synctimer"); err != nil {
		t.Fatal(err)
	}
	all := awaitRuns(t, s, c, 2)
	disarm()
	// So long ago that the janitor says so.
	age(t, s, c, "LastSuccess", time.Now().Add(-25*time.Hour))
	if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
		t.Fatal(err)
	}

	// by parents alone, across the queue
	const jobWay = "^synctimer( > syncworker > job sync){1,2}" // twice, since it was put off
	job := jobWay + " > phase people > "
	pages := col.find(t, job+`graph GET /v1\.0/users/delta$`)
	commits := col.find(t, job+"table (transaction|PUT directory)$") // a fence alone is one row
	if string(pages[0].TraceId) != string(commits[0].TraceId) {
		t.Error("the page and the transaction are of two traces")
	}
	jobs := col.find(t, jobWay+"$")
	if got := attr(jobs[0].Attributes, "rollcall.connection"); got != c.ID {
		t.Errorf("job of connection %q, want %q", got, c.ID)
	}
	ran := attr(jobs[0].Attributes, "rollcall.run")
	if !slices.ContainsFunc(all, func(r run) bool { return r.ID == ran && r.Trigger == "schedule" }) {
		t.Errorf("job of run %q, want one of the schedule's: %+v", ran, all)
	}
	lines := strings.Join(log.handler(), "")
	if id := hex.EncodeToString(jobs[0].TraceId); !strings.Contains(lines, id) {
		t.Error("no line of the log is of the trace")
	}
	if !strings.Contains(lines, "tenant not synced for twice its interval") {
		t.Error("nothing is logged of a tenant that was last synced 25 hours ago")
	}
	col.find(t, "(^| > )GET /v1/")       // the machine API
	col.find(t, "(^| > )GET /connect/$") // the administrator's path

	err := sandbox.Await(within(t, 30*time.Second), "metrics", func() (bool, error) {
		return col.sum("rollcall.runs", "state", "succeeded") >= 2 && col.sum("rollcall.graph.requests", "", "") > 0 && len(col.aged(c.ID)) > 0, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, col.points)
	}
	people := int64(len(sandbox.Truth(c.tenant.People())))
	if got := col.sum("rollcall.people.changed", "change", "created"); got != people {
		t.Errorf("%d people created, the tenant has %d", got, people)
	}
	if got := col.sum("rollcall.runs", "state", "succeeded"); got != 2 {
		t.Errorf("%d runs succeeded, want 2", got)
	}
	if ago := time.Duration(col.aged(c.ID)[0]) * time.Second; ago < 25*time.Hour || ago > 26*time.Hour {
		t.Errorf("last success %s ago, want 25 hours", ago)
	}
	if got := col.sum("rollcall.graph.throttled", "", ""); got != 1 {
		t.Errorf("throttled %d times, want once", got)
	}
	if units := col.sum("rollcall.graph.units", "", ""); units < 2 {
		t.Errorf("%d units", units)
	}

	trap.mu.Lock()
	defer trap.mu.Unlock()
	if trap.raw.Len() > 0 {
		t.Error("telemetry is sent though it is off")
	}
	col.mu.Lock()
	defer col.mu.Unlock()
	if len(col.wrong) > 0 || len(col.keys) != 1 || !col.keys[collectorKey] {
		t.Errorf("wrong requests %q, keys %v", col.wrong, col.keys)
	}
	told := secretsOf(c.tenant.People(), c.tenant.Accounts)
	told = append(told, links(t, s, c)...)
	told = append(told, secret{"link", c.Link[strings.LastIndex(c.Link, "/")+1:]}, secret{"function key", s.FunctionKey}, secret{"collector's key", collectorKey}, secret{"query", "$select"})
	for _, p := range c.tenant.People() {
		told = append(told, secret{"person's ID", p.ID})
	}
	for _, x := range told {
		if strings.Contains(col.raw.String(), x.text) {
			t.Errorf("telemetry holds a %s: %s", x.what, x.text)
		}
	}
}
