package proof

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/host"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// memory keeps what the host and the handler log.
type memory struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.Write(b)
}

// handler returns what the handler wrote, line by line.
func (m *memory) handler() (lines []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for line := range strings.Lines(m.b.String()) {
		if _, text, ok := strings.Cut(line, "Host.Function.Console: "); ok {
			lines = append(lines, text)
		}
	}
	return lines
}

// raw sends a request exactly as written and returns the answers that come
// before the other side closes the connection.
func raw(t *testing.T, dial func() (net.Conn, error), request string) (answers []*http.Response, bodies string) {
	t.Helper()
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for r := bufio.NewReader(conn); ; {
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers, all.String()
		}
		b, _ := io.ReadAll(a.Body) // what came is what counts
		all.Write(b)
		answers = append(answers, a)
		// What was hidden behind it would be answered at once.
		if err := conn.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
}

// invoked is how often each function behind a key, timer or queue was invoked.
func invoked(h *host.Host) map[string]int {
	n := map[string]int{}
	for name, s := range h.Stats().Functions {
		if name != "connect" && name != "consentcallback" {
			n[name] = s.Invocations
		}
	}
	return n
}

// crooked are paths that an open route may take for its own and somebody
// behind it for another's. %s is what they are after, without its first slash.
var crooked = []string{
	"/connect/..%%2f%s", "/connect/..%%2F%s", "/connect/%%2e%%2e/%s", "/connect/%%2E%%2E/%s", "/connect/.%%2e/%s", "/connect/../%s",
	"/connect/x/../../%s", "/connect/x/%%2e%%2e/%%2e%%2e/%s", "/connect/x/..%%2f..%%2f%s", "/connect/x%%2f..%%2f..%%2f%s",
	"/connect/..\\%s", "/connect/..%%5c%s", "/connect/%%2e%%2e%%5C%s", "\\%s", "/%%5c%s", "/connect/%%252e%%252e/%s", "/connect/%%252e%%252e%%252f%s",
	"/connect/..;/%s", "/connect/;/../%s", "/connect/%%00/../%s", "/connect/..%%00/%s", "/connect/%%c0%%ae%%c0%%ae/%s", "/connect/%%ef%%bc%%8e%%ef%%bc%%8e/%s",
	"/connect/..%%09/%s", "/connect/.%%0a./%s", "//%s", "///%s", "/./%s", "/%%2e/%s", "/%%2f%s", "/connect//../%s", "/connect//%s", "/connect/%%2f%s",
	"/connect/x?/../../%s", "/connect/x#/../../%s", "/connect/x%%3f/../../%s", "/connect/x%%23/../../%s",
	"/consent/callback/../../%s", "/consent/callback%%2f..%%2f..%%2f%s", "/consent/callback/..%%2f..%%2f%s", "/consent/%%2e%%2e/%s",
	"/CONNECT/%%2e%%2e/%s", "/Consent/Callback/../../%s",
}

// No request without a key reaches a function behind one, nor a timer's or
// the queue's, however its path is written and whatever its headers say.
func TestThreatRouteConfusion(t *testing.T) {
	t.Parallel()
	log := &memory{}
	s := start(t, sandbox.Options{Log: log})
	c := connected(t, s, tenant.Spec{Name: "Contoso", People: 15})
	address := strings.TrimPrefix(s.PublicURL, "https://")
	front := func() (net.Conn, error) { return tls.Dial("tcp", address, &tls.Config{RootCAs: s.CA.Pool()}) }
	inner := func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(s.Host.URL(), "http://")) }

	// Each of these would leave a trace if it arrived.
	j := fmt.Sprintf(`{"v":1,"kind":"sync","connection":%q,"run":"0123456789a-forged","slice":0,"trigger":"manual"}`, c.ID)
	message := fmt.Sprintf(`{"Data":{"job":%q,"tick":{}},"Metadata":{}}`, base64.StdEncoding.EncodeToString([]byte(j)))
	request := func(method, target, body string, headers ...string) string {
		h := ""
		if len(headers) > 0 {
			h = strings.Join(headers, "\r\n") + "\r\n"
		}
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s",
			method, target, address, len(body), h, body)
	}
	var requests []string
	for _, p := range crooked {
		requests = append(requests,
			request("POST", fmt.Sprintf(p, "syncworker"), message),
			request("POST", fmt.Sprintf(p, "synctimer"), message),
			request("POST", fmt.Sprintf(p, "v1/connections/"+c.ID+"/sync"), ""),
			request("GET", fmt.Sprintf(p, "v1/connections"), ""))
	}
	for _, p := range []string{
		"/syncworker", "/SyncWorker", "/SYNCWORKER", "/syncworker/", "/synctimer", "/SyncTimer", "/janitor", "/Janitor", "/syncnow", "/api",
		"/connect/syncworker", "/connect/x/syncworker", "/connect/x/authorize/../../../syncworker", "/%73yncworker", "/sync%77orker", "/syncworker%20", "/syncworker%00", "/syncworker?x=1", "/syncworker;x",
		"http://" + address + "/syncworker", "https://evil.example/syncworker", "https://" + address + "//syncworker", "*", "syncworker",
		"/runtime/webhooks/x", "/admin/functions/synctimer", "/Admin/Functions/SyncTimer", "//admin/functions/synctimer", "/%61dmin/functions/synctimer", "/connect/../admin/functions/synctimer",
	} {
		for _, method := range []string{"POST", "GET"} {
			requests = append(requests, request(method, p, message))
		}
	}
	link := strings.TrimPrefix(c.Link, s.PublicURL)
	for _, method := range []string{"post", "PoST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"} {
		requests = append(requests, request(method, "/syncworker", message), request(method, "/v1/connections/"+c.ID+"/sync", ""))
	}
	for _, h := range []string{
		"X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Original-URL: /syncworker", "X-Rewrite-URL: /syncworker", "X-Original-URL: /v1/connections",
		"X-Forwarded-Path: /syncworker", "X-Forwarded-Prefix: /v1", "X-Forwarded-Uri: /syncworker", "X-MS-Original-Url: /syncworker",
		"X-Azure-Functions-InvocationId: forged", "X-Functions-Key: ", "X-Functions-Key: wrong", "Authorization: Bearer x", "Upgrade: h2c\r\nConnection: Upgrade",
	} {
		requests = append(requests, request("POST", link, message, h), request("POST", link+"/authorize", message, h),
			request("GET", "/v1/connections", "", h), request("POST", "/v1/connections/"+c.ID+"/sync", "", h))
	}
	// A second request hidden in the body of the first.
	hidden := request("POST", "/syncworker", message)
	requests = append(requests,
		fmt.Sprintf("POST %s/authorize HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", link, hidden),
		fmt.Sprintf("POST %s/authorize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%s", link, len(hidden)+5, hidden),
		fmt.Sprintf("POST %s/authorize HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: %d\r\n\r\n%s", link, len(hidden), hidden),
		fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", link, len(hidden), hidden),
		fmt.Sprintf("GET %s HTTP/1.1 \r\nHost: x\r\n\r\n%s", link, hidden))

	rows, queued := stored(t, s), sent(t, s)
	lines := len(log.handler())
	before := invoked(s.Host)
	for _, dial := range []func() (net.Conn, error){front, inner} {
		for _, r := range requests {
			first, _, _ := strings.Cut(r, "\r\n")
			answers, body := raw(t, dial, r)
			for _, a := range answers {
				// 2xx and 3xx are the open pages' own: of the link, of its button.
				own := strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || strings.HasPrefix(a.Header.Get("Location"), s.Microsoft.AuthorityURL()+"/") || a.Header.Get("Location") == c.Link
				if a.StatusCode < 400 && !own {
					t.Errorf("%s: %d %s", first, a.StatusCode, body)
				}
			}
			if len(answers) == 0 {
				t.Errorf("%s: no answer", first)
			}
			for _, leak := range []string{`"connections"`, `"runs"`, "Outputs", "ReturnValue"} {
				if strings.Contains(body, leak) {
					t.Errorf("%s: answered %s", first, body)
				}
			}
			if after := invoked(s.Host); !maps.Equal(before, after) {
				t.Errorf("%s: invocations were %v and are %v", first, before, after)
				before = after
			}
		}
	}
	unchanged(t, s, rows, queued)

	// The same detectors see what does arrive.
	if err := s.Host.Fire(t.Context(), "synctimer"); err != nil {
		t.Fatal(err)
	}
	if after := invoked(s.Host); after["synctimer"] != before["synctimer"]+1 {
		t.Errorf("a timer's run was not counted: %v", after)
	}
	var since []string
	if err := sandbox.Await(within(t, 10*time.Second), "the timer's line", func() (bool, error) {
		since = log.handler()[lines:]
		return slices.ContainsFunc(since, func(l string) bool { return strings.Contains(l, "slots started") }), nil
	}); err != nil {
		t.Fatal(err)
	}
	// What the timers, the worker and the machine API say. The timer's own
	// line comes last.
	traces := []string{"invocation failed", "run ended", "job of", "unreadable", "not repaired", "put back"}
	ticks := 0
	for _, line := range since {
		if strings.Contains(line, "slots started") {
			ticks++
		}
		if slices.ContainsFunc(traces, func(s string) bool { return strings.Contains(line, s) }) || ticks > 1 {
			t.Errorf("a function behind a key ran: %s", line)
		}
	}
	t.Logf("%d requests", 2*len(requests))
}
