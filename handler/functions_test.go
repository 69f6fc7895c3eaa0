package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// binding is one of a function.json's.
type binding struct {
	Type, Direction, Name, AuthLevel, Route, QueueName, Connection, DataType, Schedule string
	Methods                                                                            []string
}

// functions reads every function.json.
func functions(t *testing.T) map[string][]binding {
	t.Helper()
	files, err := filepath.Glob("../functions/*/function.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no functions", err)
	}
	all := map[string][]binding{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var fn struct{ Bindings []binding }
		if err := json.Unmarshal(b, &fn); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[filepath.Base(filepath.Dir(f))] = fn.Bindings
	}
	return all
}

// What the Functions host is told and what the handler serves are the same:
// each trigger has a handler, each HTTP route is answered by the function it
// is meant for, and only the administrator's path is open.
func TestFunctionsAreServed(t *testing.T) {
	env := good()
	c, _, err := load(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	h, err := build(c, slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w
	}
	// Paths that no store is asked for: what cannot be an ID is refused first.
	probes := map[string]struct{ method, path, kind string }{
		"api":             {"GET", "/v1/connections/NONE", "application/problem+json"},
		"syncnow":         {"POST", "/v1/connections/NONE/sync", "application/problem+json"},
		"connect":         {"GET", "/connect/none", "text/html; charset=utf-8"},
		"consentcallback": {"HEAD", "/consent/callback", "text/html; charset=utf-8"},
	}
	open := []string{"connect", "consentcallback"}
	for name, bindings := range functions(t) {
		t.Run(name, func(t *testing.T) {
			in := bindings[0]
			if in.Direction != "in" {
				t.Fatalf("first binding %+v, want the trigger", in)
			}
			switch in.Type {
			case "httpTrigger":
				if len(bindings) != 2 || bindings[1].Type != "http" || bindings[1].Direction != "out" {
					t.Errorf("bindings %+v: the host proxies only one trigger with one output", bindings)
				}
				if want := map[bool]string{true: "anonymous", false: "function"}[slices.Contains(open, name)]; in.AuthLevel != want {
					t.Errorf("authLevel %q, want %q", in.AuthLevel, want)
				}
				p := probes[name]
				literal, _, _ := strings.Cut(in.Route, "{")
				if !strings.HasPrefix(p.path, "/"+literal) {
					t.Errorf("route %q does not lead to %s", in.Route, p.path)
				}
				if w := answer(p.method, p.path, ""); w.Header().Get("Content-Type") != p.kind || w.Code < 400 {
					t.Errorf("%s %s: %d %q, want a refusal as %q", p.method, p.path, w.Code, w.Header().Get("Content-Type"), p.kind)
				}
			case "serviceBusTrigger":
				if in.QueueName != queue || in.Connection != "ServiceBusConnection" || in.DataType != "binary" || in.Name != "job" {
					t.Errorf("binding %+v", in)
				}
				fallthrough
			case "timerTrigger":
				if len(bindings) != 1 {
					t.Errorf("bindings %+v", bindings)
				}
				if w := answer(http.MethodPost, "/"+name, "no invocation"); w.Code != http.StatusInternalServerError || w.Body.Len() == 0 {
					t.Errorf("POST /%s: %d %q, want the refusal of what is no invocation", name, w.Code, w.Body)
				}
				if w := answer(http.MethodGet, "/"+name, ""); w.Code < 400 {
					t.Errorf("GET /%s: %d", name, w.Code)
				}
			default:
				t.Errorf("trigger of type %q", in.Type)
			}
		})
	}
}
