package pages

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"rollcall/internal/consent"
)

func TestLanguageOfTheBrowser(t *testing.T) {
	p := testPages(t)
	for accept, want := range map[string]string{
		"": "en", "nl": "nl", "nl-BE,nl;q=0.9,en;q=0.8": "nl", "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7": "fr", "de-AT": "de",
		"ja, de;q=0.4": "de", "ja": "en", "en-GB,de;q=0.9": "en", "da;q=0.1, nl;q=0": "en", "gsw": "de",
		"*": "en", ";;;": "en", "xx-yy-zz": "en", strings.Repeat("nl,", 400): "en", "nl\x00": "en",
	} {
		if got := speeches[p.preferred(asked(accept))].Code; got != want {
			t.Errorf("%.40q: %s, want %s", accept, got, want)
		}
	}
}

// A choice needs no cookie, goes along through the whole way, and leads nowhere
// but to our own pages.
func TestLanguageChosen(t *testing.T) {
	p := testPages(t)
	view := consent.View{Stage: consent.Invitation, Company: "Contoso", App: appID, Link: "https://sync.example/connect/x"}
	look := func(r *http.Request) string {
		w := httptest.NewRecorder()
		p.View(w, r, view)
		if w.Header().Get("Set-Cookie") != "" {
			t.Error("looking sets a cookie")
		}
		return w.Body.String()
	}
	get := func(path string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Language", "de")
		return r
	}
	plain := look(get("/connect/x"))
	for _, want := range []string{
		`<html lang="de"`, `<a href="https://sync.example/connect/x?lang=nl" lang="nl" hreflang="nl">Nederlands</a>`,
		`lang="de" hreflang="de" aria-current="true">Deutsch</a>`, `action="https://sync.example/connect/x/authorize"`,
	} {
		if !strings.Contains(plain, want) {
			t.Errorf("no %s", want)
		}
	}
	if body := look(get("/connect/x?lang=nl")); !strings.Contains(body, `<html lang="nl"`) || !strings.Contains(body, `action="https://sync.example/connect/x/authorize?lang=nl"`) {
		t.Error("not carried on:", body)
	}
	for _, odd := range []string{"NL", "nl-BE", "//evil.example", "../x", "nl%00", ""} {
		if body := look(get("/connect/x?lang=" + odd)); !strings.Contains(body, `<html lang="de"`) || strings.Contains(body, "evil") {
			t.Errorf("%q has an effect", odd)
		}
	}

	// The button's cookie brings it to Microsoft and back.
	w := httptest.NewRecorder()
	secret := Bind(w, get("/connect/x/authorize?lang=fr"))
	back := get("/consent/callback?error=access_denied&state=x")
	back.AddCookie(w.Result().Cookies()[0])
	if Browser(back) != secret {
		t.Errorf("the cookie's secret is %q, want %q", Browser(back), secret)
	}
	w = httptest.NewRecorder()
	p.Fail(w, back, &consent.Refusal{Cause: consent.ConsentDeclined, Link: view.Link})
	if body := w.Body.String(); !strings.Contains(body, `<html lang="fr"`) || !strings.Contains(body, `href="https://sync.example/connect/x?lang=fr"`) ||
		strings.Contains(body, "<nav") {
		t.Error("after Microsoft:", body)
	}
	again := get("/connect/x/authorize?lang=de")
	again.AddCookie(back.Cookies()[0])
	w = httptest.NewRecorder()
	if Bind(w, again) != secret || !strings.HasSuffix(w.Result().Cookies()[0].Value, ".de") {
		t.Error("another choice does not replace the first")
	}
	for _, value := range []string{"x.nl", secret[1:] + ".nl", ".nl"} {
		forged := get("/connect/x")
		forged.AddCookie(&http.Cookie{Name: browserCookie, Value: value})
		if Browser(forged) != "" || chosen(forged) >= 0 {
			t.Errorf("cookie %q is read", value)
		}
	}
}

// An error page that can be had again has the switch too, and no other.
func TestLanguageOfErrors(t *testing.T) {
	p := testPages(t)
	for path, want := range map[string]bool{"/connect/x": true, "/connect/x?lang=de": true, "/connect/x?state=1": false, "/consent/callback?error=x": false} {
		w := httptest.NewRecorder()
		p.Fail(w, httptest.NewRequest(http.MethodGet, path, nil), &consent.Refusal{Cause: consent.LinkExpired})
		if got := strings.Contains(w.Body.String(), `<a href="?lang=nl"`); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	w := httptest.NewRecorder()
	if p.NotFound(w, httptest.NewRequest(http.MethodPost, "/connect/x", nil)); strings.Contains(w.Body.String(), "<nav") {
		t.Error("a POST cannot be had again")
	}
}

// Whatever a browser says, a page is in one of the languages, and nothing of
// what it said is on the page.
func FuzzLanguage(f *testing.F) {
	f.Add("nl-BE,nl;q=0.9,en;q=0.8", "lang=nl", "x.de")
	f.Add("*;q=0", "lang=%2F%2Fevil&lang=de", ".")
	f.Add("de-1996-x-private,zh-Hant;q=1e9", "lang", strings.Repeat("x", 43)+".fr")
	p, err := New("Desk", "https://sync.example", "https://login.example", slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, accept, query, cookie string) {
		r := httptest.NewRequest(http.MethodGet, "/connect/x", nil)
		r.URL.RawQuery = query
		r.Header.Set("Accept-Language", accept)
		r.Header.Set("Cookie", browserCookie+"="+cookie)
		w := httptest.NewRecorder()
		p.View(w, r, consent.View{Stage: consent.Invitation, App: appID, Link: "https://sync.example/connect/x"})
		code := w.Header().Get("Content-Language")
		if indexOf(code) < 0 || !strings.Contains(w.Body.String(), `<html lang="`+code+`"`) {
			t.Errorf("language %q", code)
		}
		for _, m := range regexp.MustCompile(`(?:action|href)="(https:[^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
			if !regexp.MustCompile(`^https://sync\.example/connect/x(/authorize)?(\?lang=(en|fr|nl|de)(&amp;refresh=off)?)?$`).MatchString(m[1]) {
				t.Errorf("an address of ours is %q", m[1])
			}
		}
	})
}
