package host

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func front(t *testing.T, env ...string) *rig {
	t.Helper()
	return start(t, Options{Keys: Keys{Function: "fk", Master: "mk"}}, map[string]string{
		"open/function.json":   httpFile(`,"authLevel":"anonymous","methods":["get"]`),
		"keyed/function.json":  httpFile(`,"route":"v1/things/{id:int}"`),
		"named/function.json":  httpFile(`,"route":"v1/things/{name}","authLevel":"anonymous"`),
		"lit/function.json":    httpFile(`,"route":"V1/Things/special","authLevel":"admin","methods":["POST"]`),
		"rest/function.json":   httpFile(`,"route":"files/{*path}","authLevel":"anonymous"`),
		"go/function.json":     httpFile(`,"authLevel":"anonymous"`),
		"die/function.json":    httpFile(`,"authLevel":"anonymous"`),
		"stream/function.json": httpFile(`,"authLevel":"anonymous"`),
		"off/function.json":    httpFile(`,"authLevel":"anonymous"`),
	}, append(env, "AzureWebJobs.off.Disabled=true")...)
}

// ask sends a raw request target, so that nothing is cleaned on the way.
func ask(t *testing.T, r *rig, method, target, body string, header ...string) (*http.Response, echo) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := method + " " + target + " HTTP/1.1\r\nHost: rollcall.example\r\nConnection: close\r\n"
	for _, h := range header {
		req += h + "\r\n"
	}
	if body != "" {
		req += "Transfer-Encoding: chunked\r\n\r\n5\r\n" + body[:5] + "\r\n0\r\n\r\n"
	} else {
		req += "\r\n"
	}
	if _, err := io.WriteString(conn, req); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	var e echo
	_ = json.Unmarshal(b, &e) // only the echo answers JSON
	return resp, e
}

func TestRoutesAndKeys(t *testing.T) {
	r := front(t)
	const reached = http.StatusTeapot
	for _, tt := range []struct {
		method, target, key string
		status              int
	}{
		{"GET", "/api/open", "", reached},
		{"GET", "/API/Open/", "", reached},
		{"POST", "/api/open", "", 404},
		{"GET", "/open", "", 404},
		{"GET", "/", "", 404},
		{"GET", "//api/open", "", 404},
		{"GET", "/api//open", "", 404},
		{"GET", "/api/x/../open", "", reached}, // dot segments are resolved before routing
		{"GET", "/api/%6fpen", "", reached},
		{"GET", "/api%2Fopen", "", 404},
		{"GET", "/api/off", "", 404},
		{"GET", "/api/v1/things/7", "", 401},
		{"GET", "/api/v1/things/7", "fk", reached},
		{"GET", "/api/v1/things/7", "mk", reached},
		{"GET", "/api/v1/things/7", "nope", 401},
		{"GET", "/api/v1/things/7?code=fk", "", reached},
		{"GET", "/api/v1/things/7?code=f", "", 401},
		{"GET", "/api/v1/things/seven", "", reached},
		{"GET", "/api/v1/things/a%2Fb", "", reached},
		{"GET", "/api/v1/things/", "", 404},
		{"POST", "/api/v1/things/special", "fk", 401},
		{"POST", "/api/v1/things/SPECIAL", "mk", reached},
		{"GET", "/api/v1/things/special", "", reached}, // falls to {name}: the literal takes POST only
		{"GET", "/api/files", "", reached},
		{"DELETE", "/api/files/a/b/c", "", reached},
		{"POST", "/tick", "", 404},
		{"GET", "/runtime/webhooks", "", 404},
	} {
		var header []string
		if tt.key != "" {
			header = append(header, "x-functions-key: "+tt.key)
		}
		resp, e := ask(t, r, tt.method, tt.target, "", header...)
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s with %q: %d, want %d", tt.method, tt.target, tt.key, resp.StatusCode, tt.status)
		}
		if tt.status == reached && (e.URI != tt.target || e.Method != tt.method) {
			t.Errorf("%s %s arrived as %s %s", tt.method, tt.target, e.Method, e.URI)
		}
	}
}

func TestEmptyKeysOpenNothing(t *testing.T) {
	h := &Host{}
	for _, level := range []string{"function", "admin"} {
		if h.authorized(&http.Request{URL: mustURL(t, "/?code="), Header: http.Header{}}, level) {
			t.Errorf("level %s was open", level)
		}
	}
}

func TestProxy(t *testing.T) {
	r := front(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	resp, e := ask(t, r, "PUT", "/api/files/x;y?a=1&b=%zz&code=c", "hello", "traceparent: "+parent, "X-One: 1", "X-Forwarded-For: 9.9.9.9")
	if resp.Header.Get("X-Custom") != "yes" || e.Body != "hello" || e.URI != "/api/files/x;y?a=1&b=%zz&code=c" {
		t.Errorf("got %v %+v", resp.Header, e)
	}
	if h := e.Header; h.Get("X-One") != "1" || h.Get("X-Forwarded-For") != "127.0.0.1" || len(h.Get("X-Azure-Functions-Invocationid")) != 36 ||
		!strings.HasPrefix(h.Get("Traceparent"), parent[:36]) || h.Get("Traceparent") == parent {
		t.Errorf("headers: %v", h)
	}
	if resp, _ := ask(t, r, "GET", "/api/go", ""); resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/elsewhere" {
		t.Errorf("redirect: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if err := r.Idle(t.Context()); err != nil { // the answer may be here before it is counted
		t.Fatal(err)
	}
	if s := r.Stats().Functions["rest"]; s.Invocations != 1 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestStreaming(t *testing.T) {
	r := front(t)
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL()+"/api/stream", pr)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(pw, "one") }()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 3)
	for _, next := range []string{"two", "six", ""} { // each answer comes before the next question
		if _, err := io.ReadFull(resp.Body, buf); err != nil {
			t.Fatal(err)
		}
		if next == "" {
			break
		}
		_, _ = io.WriteString(pw, next)
	}
	_ = pw.Close()
	if string(buf) != "SIX" {
		t.Errorf("got %q", buf)
	}
}

func TestBrokenAnswer(t *testing.T) {
	r := front(t)
	resp, err := http.Get(r.URL() + "/api/die")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a broken answer looked whole")
	}
	if err := r.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats().Functions["die"]; s.Failures != 1 {
		t.Errorf("%+v", s)
	}
	r.fireErr("") // after the restart
}

func TestAdmin(t *testing.T) {
	r := front(t, "AzureWebJobs.tick.Disabled=1")
	const target = "/admin/functions/TICK"
	for _, tt := range []struct {
		method, target, key string
		status              int
	}{
		{"POST", target, "", 401}, {"POST", target, "fk", 401}, {"GET", target, "mk", 404},
		{"POST", "/admin/functions/open", "mk", 404}, {"POST", "/admin/functions/none", "mk", 404},
		{"POST", target, "mk", 202},
	} {
		if resp, _ := ask(t, r, tt.method, tt.target, "", "x-functions-key: "+tt.key); resp.StatusCode != tt.status {
			t.Errorf("%s %s with %q: %d, want %d", tt.method, tt.target, tt.key, resp.StatusCode, tt.status)
		}
	}
	if err := r.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.seen("tick")); n != 1 {
		t.Errorf("ran %d times", n)
	}
}
