package host

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPackageRefused(t *testing.T) {
	timer := func(when string) string {
		return `{"bindings":[{"type":"timerTrigger","name":"t","schedule":"` + when + `"}]}`
	}
	open := httpFile(`,"route":"x"`)
	for _, tt := range []struct {
		what  string
		files map[string]string
		want  string
	}{
		{"no host.json", map[string]string{}, "host.json"},
		{"no functions", map[string]string{"host.json": hostFile}, "no function found"},
		{"nested only", map[string]string{"host.json": hostFile, "a/b/function.json": open}, "no function found"},
		{"version", map[string]string{"host.json": `{"version":"1.0"}`}, "version"},
		{"no executable", map[string]string{"host.json": `{"version":"2.0"}`}, "defaultExecutablePath"},
		{"bad span", map[string]string{"host.json": strings.Replace(hostFile, "00:00:10", "10m", 1)}, "functionTimeout"},
		{"binding type", map[string]string{"host.json": hostFile, "a/function.json": `{"bindings":[{"type":"blobby","name":"b"}]}`}, "'blobby' are not registered"},
		{"admin route", map[string]string{"host.json": strings.Replace(hostFile, `"extensions":{`, `"extensions":{"http":{"routePrefix":""},`, 1), "a/function.json": httpFile(`,"route":"AdminConsent/x"`)}, "built in routes"},
		{"runtime route", map[string]string{"host.json": strings.Replace(hostFile, `"extensions":{`, `"extensions":{"http":{"routePrefix":""},`, 1), "a/function.json": httpFile(`,"route":"runtime"`)}, "built in routes"},
		{"function name", map[string]string{"host.json": hostFile, "1a/function.json": open}, "not a valid function name"},
		{"name host", map[string]string{"host.json": hostFile, "Host/function.json": open}, "not a valid function name"},
		{"binding name", map[string]string{"host.json": hostFile, "a/function.json": `{"bindings":[{"type":"timerTrigger","name":"a-b"}]}`}, "binding name"},
		{"no trigger", map[string]string{"host.json": hostFile, "a/function.json": `{"bindings":[]}`}, "no trigger binding"},
		{"two triggers", map[string]string{"host.json": hostFile, "a/function.json": `{"bindings":[{"type":"timerTrigger","name":"a","schedule":"0 0 0 * * *"},{"type":"timerTrigger","name":"b"}]}`}, "multiple trigger"},
		{"no output", map[string]string{"host.json": hostFile, "a/function.json": `{"bindings":[{"type":"httpTrigger","name":"a"}]}`}, "http output"},
		{"schedule", map[string]string{"host.json": hostFile, "a/function.json": timer("0 61 * * * *")}, "schedule expression"},
		{"unresolved", map[string]string{"host.json": hostFile, "a/function.json": timer("%NOPE%")}, "'%NOPE%' does not resolve"},
		{"not proxied", map[string]string{"host.json": strings.Replace(hostFile, "true", "false", 1), "a/function.json": open}, "enableProxyingHttpRequest"},
		{"same route", map[string]string{"host.json": hostFile, "a/function.json": open, "b/function.json": httpFile(`,"route":"X"`)}, "same route"},
		{"not JSON", map[string]string{"host.json": hostFile, "a/function.json": `{`}, "function a"},
	} {
		_, err := Start(t.Context(), Options{Dist: stage(t, tt.files)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.what, err, tt.want)
		}
	}
}

func TestHostDefaults(t *testing.T) {
	c, err := parseHost([]byte(`{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"h"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := config{executable: "h", initTimeout: 30 * time.Second, timeout: 30 * time.Minute, routePrefix: "api", maxCalls: 16, renewal: 5 * time.Minute}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(config{})); diff != "" {
		t.Error(diff)
	}
}

func TestParseSpan(t *testing.T) {
	for s, want := range map[string]time.Duration{"00:10:00": 10 * time.Minute, "1.02:03:04.5": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond} {
		if got, err := parseSpan(s); got != want || err != nil {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "10", "24:00:00", "00:60:00", "-00:01:00", "00:00:00.", "a:b:c", "00:00:001"} {
		if got, err := parseSpan(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestSchedule(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 2, 3, 0, time.UTC) // a Sunday
	for s, want := range map[string]time.Time{
		"0 */5 * * * *":   time.Date(2026, 3, 1, 10, 5, 0, 0, time.UTC),
		"*/10 * * * * *":  time.Date(2026, 3, 1, 10, 2, 10, 0, time.UTC),
		"30 9 * * *":      time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC),
		"0 0 0 13 * FRI":  time.Date(2026, 3, 13, 0, 0, 0, 0, time.UTC), // both, not either
		"0 0 0 1 jan mon": time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		sch, err := parseSchedule(s)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := sch.next(at); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{"", "@every 1s", "* * * *", "TZ=UTC * * * * *", "? * * * * *", "00:05:00"} {
		if _, err := parseSchedule(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestEncode(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for _, tt := range []struct{ v, want any }{
		{"m-1", `"m-1"`}, {`{"a":"<b>"}`, `"{\"a\":\"<b>\"}"`}, {uint32(1), "1"}, {true, "true"}, {[]int{1, 2}, "[1,2]"},
		{dateTime(at), "2026-01-02T03:04:05"}, {dateTimeOffset(at), "2026-01-02T03:04:05+00:00"}, {[]byte{1, 2}, "AQI="},
	} {
		if diff := cmp.Diff(tt.want, encode(tt.v)); diff != "" {
			t.Errorf("%v: %s", tt.v, diff)
		}
	}
	meta := map[string]any{"DeliveryCount": 1, "Keep": "k"}
	spread(`{"DeliveryCount":9,"List":[1],"Deep":{"x":1},"Nil":null}`, meta)
	meta["jobTrigger"] = "x"
	want := map[string]any{"DeliveryCount": "9", "Keep": `"k"`, "Deep": map[string]any{"x": json.Number("1")}}
	if diff := cmp.Diff(want, wire(meta)); diff != "" {
		t.Error(diff)
	}
}

func FuzzHostJSON(f *testing.F) {
	f.Add([]byte(hostFile))
	f.Add([]byte(`{"version":"2.0","functionTimeout":"-1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseHost(b)
		if err == nil && (c.executable == "" || c.timeout < 0 || c.initTimeout <= 0 || c.maxCalls < 1) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzFunctionJSON(f *testing.F) {
	f.Add("a", []byte(tickFile))
	f.Add("b", []byte(httpFile(`,"route":"x/{id:guid}/{*rest}"`)))
	f.Add("c", []byte(strings.Replace(workFile, "%s", `,"dataType":"binary"`, 1)))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		fn, err := parseFunction(name, b, func(string) (string, bool) { return "0 * * * * *", true })
		if err == nil && (fn.trigger.kind == 0 || fn.trigger.name == "" || fn.trigger.kind == timerTrigger && fn.trigger.schedule.spec == nil) {
			t.Errorf("%+v", fn)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("v1/{id:int}/{*rest}", "/v1/7/a/b")
	f.Add("a/{b?}", "/a/../%2e%2F")
	f.Fuzz(func(t *testing.T, route, path string) {
		p, err := parseRoute(route)
		if err != nil {
			return
		}
		segs := split(path)
		if p.match(segs) && len(p) > 0 && p[0].literal != "" && (len(segs) == 0 || !strings.EqualFold(segs[0], p[0].literal)) {
			t.Errorf("%q matched %q", route, path)
		}
	})
}
