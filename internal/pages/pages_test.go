package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const hostile = `"><script>alert(1)</script>{product}`

func testPages(t *testing.T) *Pages {
	p, err := New("Desk", "https://sync.example/x", "https://login.example", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asked is a browser that asks for a page in a language.
func asked(language string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/connect/x", nil)
	r.Header.Set("Accept-Language", language)
	return r
}

// show is a page of a view, in a language.
func show(t *testing.T, language string, v consent.View) string {
	t.Helper()
	w := httptest.NewRecorder()
	testPages(t).View(w, asked(language), v)
	return w.Body.String()
}

// all renders every page there is, as hostile as can be.
func all(t *testing.T, language string) map[string]*httptest.ResponseRecorder {
	p := testPages(t)
	r := asked(language)
	got := map[string]*httptest.ResponseRecorder{}
	show := func(name string, f func(w http.ResponseWriter)) {
		got[name] = httptest.NewRecorder()
		f(got[name])
	}
	skipped := job.Skipped{What: "teams", Code: hostile, Message: hostile, Remedy: hostile}
	for name, v := range map[string]consent.View{
		"invitation":         {Stage: consent.Invitation, App: hostile},
		"invitation own":     {Stage: consent.Invitation, App: hostile, Own: true, Settings: everything},
		"invitation waits":   {Stage: consent.Invitation},
		"degraded":           {Stage: consent.Invitation, App: hostile, Verified: true, Status: connection.Degraded, Settings: everything, Missing: []string{hostile}, Run: &job.Run{State: job.Succeeded, Skipped: []job.Skipped{skipped}}},
		"disconnected":       {Stage: consent.Invitation, App: hostile, Verified: true, Status: connection.Disconnected},
		"failed":             {Stage: consent.Invitation, App: hostile, Verified: true, Status: connection.Failed},
		"unconfirmed":        {Stage: consent.Invitation, App: hostile, Status: connection.Failed},
		"more":               {Stage: consent.Invitation, App: hostile, Verified: true, Status: connection.OK, Missing: []string{"Reports.Read.All"}, Settings: everything},
		"verifying":          {Stage: consent.Verifying, Since: time.Unix(0, 0)},
		"connected":          {Stage: consent.Connected},
		"connected running":  {Stage: consent.Connected, Run: &job.Run{State: job.Running, Counters: job.Counters{Seen: 1234567}}},
		"connected waiting":  {Stage: consent.Connected, Standing: connection.Throttled, Run: &job.Run{State: job.Waiting, Throttled: true, NextTry: time.Unix(99, 0)}},
		"connected again":    {Stage: consent.Connected, Status: connection.Connected, Run: &job.Run{State: job.RunFailed}},
		"connected done":     {Stage: consent.Connected, Status: connection.OK, Run: &job.Run{State: job.Succeeded, Ended: time.Unix(0, 0)}, NextDue: time.Unix(9, 0)},
		"connected held":     {Stage: consent.Connected, Status: connection.Held, Run: &job.Run{State: job.Held}},
		"connected paused":   {Stage: consent.Connected, Status: connection.Paused, Paused: true, Run: &job.Run{State: job.Stopped}},
		"paused without run": {Stage: consent.Connected, Status: connection.Paused, Paused: true},
	} {
		v.Company, v.NamedTenant, v.Tenant, v.Link = hostile, hostile, hostile, "https://sync.example/connect/x"
		v.Problem = &connection.Problem{Code: hostile, Message: hostile, Remedy: hostile}
		if v.Run != nil && v.Run.State == job.RunFailed {
			v.Run.Skipped = []job.Skipped{skipped}
		}
		show(name, func(w http.ResponseWriter) { p.View(w, r, v) })
		if name == "invitation" {
			show("unticked", func(w http.ResponseWriter) { p.Unconfirmed(w, r, v) })
		}
	}
	for _, c := range consent.Causes {
		show(string(c), func(w http.ResponseWriter) {
			p.Fail(w, r, fmt.Errorf("x: %w", &consent.Refusal{Cause: c, Company: hostile, Link: "javascript:alert(1)",
				Tenant: hostile, Object: hostile, Expected: hostile, Code: hostile}))
		})
	}
	show("busy", func(w http.ResponseWriter) { p.Fail(w, r, errors.New(hostile)) })
	show("error", func(w http.ResponseWriter) { p.Fail(w, r, fault.New(fault.Denied, hostile)) })
	show("not found", func(w http.ResponseWriter) { p.NotFound(w, r) })
	show("method", func(w http.ResponseWriter) { p.WrongMethod(w, r, "GET") })
	show("large", func(w http.ResponseWriter) { p.TooLarge(w, r) })
	return got
}

// Every page is whole, harmless and closed in every language: no script gets
// in, no address gets out, and every text is there.
func TestEveryPage(t *testing.T) {
	missing := regexp.MustCompile(`>[a-z-]+(\.[a-zA-Z0-9-]+)+<`)
	for _, l := range speeches {
		for name, w := range all(t, l.Code) {
			name := l.Code + " " + name
			body := w.Body.String()
			for _, want := range []string{
				`<html lang="` + l.Code + `" dir="ltr">`, `name="viewport"`, "<header", `<main id="main"`, "<footer", "</html>", "<title>",
			} {
				if !strings.Contains(body, want) {
					t.Errorf("%s: no %s", name, want)
				}
			}
			if n := strings.Count(body, "<h1>"); n != 1 {
				t.Errorf("%s: %d h1", name, n)
			}
			for _, bad := range []string{"<script", `href="javascript:`, "DeskDesk", "ZgotmplZ\" "} {
				if strings.Contains(body, bad) {
					t.Errorf("%s: holds %s", name, bad)
				}
			}
			if strings.Contains(body, "{company}") || missing.MatchString(body) {
				t.Errorf("%s: a text is missing: %s", name, missing.FindString(body))
			}
			h := w.Header()
			for key, want := range map[string]string{
				"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
				"Content-Type": "text/html; charset=utf-8", "Content-Language": l.Code, "Vary": "Accept-Language, Cookie",
			} {
				if h.Get(key) != want {
					t.Errorf("%s: %s is %q", name, key, h.Get(key))
				}
			}
			// The hash is of what the browser gets between the tags.
			_, css, _ := strings.Cut(body, "<style>")
			css, _, _ = strings.Cut(css, "</style>")
			sum := sha256.Sum256([]byte(css))
			policy := h.Get("Content-Security-Policy")
			for _, want := range []string{
				"default-src 'none'", "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "frame-ancestors 'none'",
				"form-action 'self' https://login.example;", "base-uri 'none'",
			} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s: policy %q lacks %q", name, policy, want)
				}
			}
		}
	}
}

// A page reloads itself while there is something to wait for, and only then.
func TestRefresh(t *testing.T) {
	for name, w := range all(t, "en") {
		want := map[string]bool{"verifying": true, "connected": true, "connected running": true, "connected waiting": true, "connected again": true}[name]
		if got := strings.Contains(w.Body.String(), `<meta http-equiv="refresh" content="5">`); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Whoever reads slowly can stop it, without losing their language.
func TestRefreshStops(t *testing.T) {
	p := testPages(t)
	v := consent.View{Stage: consent.Verifying, Link: "https://sync.example/connect/x"}
	look := func(query string) string {
		w := httptest.NewRecorder()
		p.View(w, httptest.NewRequest(http.MethodGet, "/connect/x"+query, nil), v)
		return w.Body.String()
	}
	const self, stop, start = `http-equiv="refresh"`, `href="https://sync.example/connect/x?lang=nl&amp;refresh=off"`, `href="https://sync.example/connect/x?lang=nl">`
	if body := look("?lang=nl"); !strings.Contains(body, self) || !strings.Contains(body, stop) {
		t.Error("cannot be stopped:", body)
	}
	if body := look("?lang=nl&refresh=off"); strings.Contains(body, self) || !strings.Contains(body, start) || !strings.Contains(body, stop) {
		t.Error("does not stop:", body)
	}
}

// Counts are written as the language does, times the same in all.
func TestFigures(t *testing.T) {
	for language, want := range map[string]string{"en": "1,234,567", "de": "1.234.567", "nl": "1.234.567", "fr": "1\u00a0234\u00a0567"} {
		body := show(t, language, consent.View{Stage: consent.Connected, Stored: &consent.Stored{People: 1234567}, Run: &job.Run{
			State: job.Succeeded, Ended: time.Date(2026, 3, 4, 15, 6, 7, 0, time.FixedZone("", 3600)),
		}})
		if !strings.Contains(body, ">"+want+"<") {
			t.Errorf("%s: no %q", language, want)
		}
		if !strings.Contains(body, `<time datetime="2026-03-04T14:06:07Z">2026-03-04 14:06 UTC</time>`) {
			t.Errorf("%s: no time", language)
		}
	}
}

func TestNewRefusesAddresses(t *testing.T) {
	for _, bad := range []string{"", "sync.example", "ftp://x", "https://"} {
		if _, err := New("Desk", bad, "https://login.example", nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Contrast of text is at least 4.5 to 1 in both schemes, that of what a control
// is recognized by 3 to 1 (WCAG 2.2, AA).
func TestContrast(t *testing.T) {
	schemes := regexp.MustCompile(`:root\{([^}]*)\}`).FindAllStringSubmatch(style, -1)
	if len(schemes) != 2 {
		t.Fatalf("%d schemes", len(schemes))
	}
	for i, s := range schemes {
		color := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+):#([0-9a-f]{3,6})`).FindAllStringSubmatch(s[1], -1) {
			color[m[1]] = luminance(t, m[2])
		}
		for pair, least := range map[[2]string]float64{
			{"ink", "paper"}: 4.5, {"ink", "card"}: 4.5, {"soft", "paper"}: 4.5, {"soft", "card"}: 4.5, {"blue", "card"}: 4.5,
			{"blue-ink", "blue"}: 4.5, {"blue-ink", "blue-hover"}: 4.5, {"ink", "calm"}: 4.5, {"ink", "warn"}: 4.5, {"ink", "code"}: 4.5,
			{"good", "card"}: 4.5, {"bad", "card"}: 4.5, {"blue", "calm"}: 4.5, {"blue", "warn"}: 4.5,
			// the switch, and its ring of focus
			{"blue", "paper"}: 3,
		} {
			a, b := color[pair[0]], color[pair[1]]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
				t.Errorf("scheme %d: %s on %s: %.2f", i, pair[0], pair[1], ratio)
			}
		}
	}
}
