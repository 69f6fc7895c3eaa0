package funchost

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/obs"
)

const object = `{"v":1,"kind":"sync"}`

// invocation is a body as the Functions host writes it, with the binding's
// value as given.
func invocation(value string) string {
	return `{"Data":{"job":` + value + `},"Metadata":{"DeliveryCount":"1","sys":{"MethodName":"syncworker"}}}`
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestPayloadForms(t *testing.T) {
	tests := map[string]string{
		"object":                         object,
		"object in a string":             quoted(object),
		"object in a string in a string": quoted(quoted(object)),
		"base 64":                        quoted(base64.StdEncoding.EncodeToString([]byte(object))),
		"base 64 of a string":            quoted(base64.StdEncoding.EncodeToString([]byte(quoted(object)))),
		"with space around":              "  " + quoted(" "+object+"\n"),
	}
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			inv, err := Decode(strings.NewReader(invocation(value)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := inv.Payload("job")
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != object {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestPayloadRefused(t *testing.T) {
	for name, value := range map[string]string{
		"number": `7`, "null": `null`, "array": `[{"v":1}]`, "text": `"hello"`, "empty": `""`,
		"base 64 of text":  quoted(base64.StdEncoding.EncodeToString([]byte("hello"))),
		"wrapped too deep": quoted(quoted(quoted(quoted(quoted(object))))),
	} {
		t.Run(name, func(t *testing.T) {
			inv, err := Decode(strings.NewReader(invocation(value)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := inv.Payload("job"); !fault.Is(err, fault.Invalid) {
				t.Errorf("error %v, want kind invalid", err)
			}
			if _, err := inv.Payload("other"); !fault.Is(err, fault.Invalid) {
				t.Errorf("missing binding: error %v, want kind invalid", err)
			}
		})
	}
}

func FuzzInvocation(f *testing.F) {
	f.Add([]byte(invocation(object)))
	f.Add([]byte(invocation(quoted(quoted(object)))))
	f.Add([]byte(`{"Data":{"tick":{"ScheduleStatus":{"Last":"0001-01-01T00:00:00"},"IsPastDue":false}},"Metadata":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		inv, err := Decode(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		p, err := inv.Payload("job")
		if err == nil && !strings.HasPrefix(string(p), "{") {
			t.Errorf("payload %q is no object", p)
		}
	})
}

func TestTriggerAnswers(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	serve := func(do func(context.Context, Invocation) error, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		Trigger{Name: "f", Do: do, Deadline: time.Minute, Log: log}.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/f", strings.NewReader(body)))
		return w
	}
	good := func(context.Context, Invocation) error { return nil }

	w := serve(good, invocation(object))
	var answer struct {
		Outputs map[string]any
		Logs    []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Outputs == nil || answer.Logs == nil {
		t.Errorf("success is answered %q: %v", w.Body, err)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" || w.Code != 200 {
		t.Errorf("success is answered with %d, %q", w.Code, ct)
	}
	if w := serve(func(context.Context, Invocation) error { return errors.New("no") }, invocation(object)); w.Code != 500 {
		t.Errorf("failure is answered with %d", w.Code)
	}
	called := false
	w = serve(func(context.Context, Invocation) error { called = true; return nil }, strings.Repeat("x", maxBody+1))
	if w.Code != 500 || called {
		t.Errorf("an oversized body is answered with %d, called %v", w.Code, called)
	}
	w = serve(func(ctx context.Context, _ Invocation) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		return nil
	}, invocation(object))
	if w.Body.Len() == 0 {
		t.Error("empty answer")
	}
}

// A message goes on with its sender's trace, if it has one, and with the
// host's otherwise.
func TestTraceOfMessage(t *testing.T) {
	const host, sender = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-11111111111111111111111111111111-2222222222222222-00"
	for properties, want := range map[string]string{
		`{"traceparent":"` + sender + `"}`:       sender,
		`{"traceparent":"` + sender + `x"}`:      host,
		`{"traceparent":7}`:                      host,
		`{}`:                                     host,
		`"text"`:                                 host,
		`null`:                                   host,
		`{"Diagnostic-Id":"` + sender + `"}`:     host,
		`{"x":1,"traceparent":"` + sender + `"}`: sender,
	} {
		var told error
		trigger := Trigger{Name: "syncworker", Deadline: time.Minute, Log: slog.New(slog.DiscardHandler),
			Do: func(ctx context.Context, _ Invocation) error {
				if got := obs.From(ctx); got.Traceparent != want || got.Invocation != "inv" {
					t.Errorf("%s: %+v, want %s", properties, got, want)
				}
				return errors.New("so")
			},
			Begin: func(ctx context.Context, name string) (context.Context, func(error)) {
				if got := obs.Traceparent(ctx); got != want || name != "syncworker" {
					t.Errorf("%s: begins %s under %s", properties, name, got)
				}
				return ctx, func(err error) { told = err }
			},
		}
		r := httptest.NewRequest(http.MethodPost, "/syncworker", strings.NewReader(`{"Data":{"job":{}},"Metadata":{"ApplicationProperties":`+properties+`}}`))
		r.Header.Set("traceparent", host)
		r.Header.Set("X-Azure-Functions-InvocationId", "inv")
		Correlate(trigger).ServeHTTP(httptest.NewRecorder(), r)
		if told == nil {
			t.Errorf("%s: the failure is not recorded", properties)
		}
	}
}

func TestGuard(t *testing.T) {
	reached := ""
	h := Guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.URL.Path }))
	for target, pass := range map[string]bool{
		"/":                                  true,
		"/v1/connections/abc/runs?after=%2F": true,
		"/connect/a.b-c_d":                   true,
		"/connect/..":                        false,
		"/connect/./x":                       false,
		"/connect/%2e%2e/v1/connections":     false,
		"/connect/..%2fsyncworker":           false,
		"/connect//v1/connections":           false,
		"//syncworker":                       false,
		"/connect/%5c..%5csyncworker":        false,
		"/connect/a;b":                       false,
		"/connect/\\v1":                      false,
	} {
		reached = ""
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = target
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := reached != ""; got != pass {
			t.Errorf("%s: passed %v, want %v (status %d)", target, got, pass, w.Code)
		}
	}
}
