package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
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

// all renders every page there is, as hostile as can be.
func all(t *testing.T) map[string]*httptest.ResponseRecorder {
	p := testPages(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	got := map[string]*httptest.ResponseRecorder{}
	show := func(name string, f func(w http.ResponseWriter)) {
		got[name] = httptest.NewRecorder()
		f(got[name])
	}
	problem := &connection.Problem{Message: hostile, Remedy: hostile}
	for _, v := range []consent.View{
		{Stage: consent.Invitation}, {Stage: consent.Invitation, Degraded: true, Settings: everything}, {Stage: consent.Verifying, Since: time.Unix(0, 0)}, {Stage: consent.Connected},
		{Stage: consent.Connected, Run: &job.Run{State: job.Running, Counters: job.Counters{Seen: 1234567}}},
		{Stage: consent.Connected, Run: &job.Run{State: job.Succeeded}},
	} {
		v.Company, v.NamedTenant, v.Tenant, v.Problem, v.Link = hostile, hostile, hostile, problem, "https://sync.example/connect/x"
		name := string(v.Stage)
		if v.Run != nil {
			name += " " + string(v.Run.State)
		}
		if v.Degraded {
			name += " degraded"
		}
		show(name, func(w http.ResponseWriter) { p.View(w, r, v) })
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

// Every page is whole, harmless and closed: no script gets in, no address
// gets out, and every text is there.
func TestEveryPage(t *testing.T) {
	missing := regexp.MustCompile(`>[a-z-]+(\.[a-zA-Z0-9-]+)+<`)
	for name, w := range all(t) {
		body := w.Body.String()
		for _, want := range []string{
			`<html lang="en" dir="ltr">`, `name="viewport"`, "<header", `<main id="main"`, "<footer", "</html>", "<title>",
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
			"Content-Type": "text/html; charset=utf-8",
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

// A page reloads itself while there is something to wait for, and only then.
func TestRefresh(t *testing.T) {
	for name, w := range all(t) {
		want := name == "verifying" || name == "connected" || name == "connected running"
		if got := strings.Contains(w.Body.String(), `<meta http-equiv="refresh" content="5">`); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if body := all(t)["connected running"].Body.String(); !strings.Contains(body, "1,234,567") {
		t.Error("no count")
	}
}

// Every text is used and every text that is used exists, in every language.
func TestCatalogs(t *testing.T) {
	english, err := loadCatalog("en")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"lang": true, "dir": true}
	files, _ := fs.Glob(templateFiles, "templates/*.html")
	for _, f := range files {
		b, _ := templateFiles.ReadFile(f)
		for _, m := range regexp.MustCompile(`\.T "([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for _, c := range consent.Causes {
		for _, part := range []string{".title", ".happened", ".todo"} {
			used[string(c)+part] = true
		}
	}
	for _, page := range []string{"cross-site", "not-found", "wrong-method", "too-large", "busy", "error"} {
		for _, part := range []string{".title", ".happened", ".todo"} {
			used[page+part] = true
		}
	}
	for _, s := range []string{"queued", "running", "waiting", "succeeded", "failed", "merged", "held", "none"} {
		used["run."+s] = true
	}
	for _, p := range permissions {
		key := "grant." + p.scope
		used[key] = true
		for part, texts := range map[string][]sentence{".what": p.what, ".why": p.why} {
			used[key+part] = texts == nil
			for _, t := range texts {
				used[key+part+t.key] = true
			}
		}
	}
	for _, s := range []string{"steps.1", "steps.2", "steps.3", "steps.4", "invitation.title", "verifying.title", "connected.title",
		"fact.tenant", "fact.object", "fact.expected", "fact.code", "fact.reference"} {
		used[s] = true
	}
	for key := range used {
		if used[key] && english[key] == "" {
			t.Errorf("no text for %s", key)
		}
	}
	for key, text := range english {
		if !used[key] {
			t.Errorf("%s is never used", key)
		}
		for _, name := range regexp.MustCompile(`\{[^}]*\}`).FindAllString(text, -1) {
			if name != "{company}" && name != "{product}" {
				t.Errorf("%s names %s", key, name)
			}
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

// Contrast of text is at least 4.5 to 1 in both schemes (WCAG 2.2, AA).
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
		for _, pair := range [][2]string{
			{"ink", "paper"}, {"ink", "card"}, {"soft", "paper"}, {"soft", "card"}, {"blue", "card"}, {"blue-ink", "blue"},
			{"blue-ink", "blue-hover"}, {"ink", "calm"}, {"ink", "warn"}, {"ink", "code"}, {"good", "card"}, {"bad", "card"},
		} {
			a, b := color[pair[0]], color[pair[1]]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("scheme %d: %s on %s: %.2f", i, pair[0], pair[1], ratio)
			}
		}
	}
}
