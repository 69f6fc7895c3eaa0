package proof

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/sandbox/browser"
)

// Hostile addresses, and where one could be put that somebody would go by.
var (
	evils = []string{"https://evil.example/x", "//evil.example/x", `/\evil.example/x`, "javascript:alert('evil.example')", "https://localhost@evil.example/"}

	evilParameters = []string{
		"redirect_uri", "redirect", "redirect_url", "return", "returnUrl", "return_to", "next", "to", "url", "link", "dest", "continue", "goto",
		"callback", "post_logout_redirect_uri", "RelayState", "session_state", "client_id", "scope", "iss", "host", "domain_hint", "authority", "error_uri",
	}
	evilHeaders = []string{
		"X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Original-Host", "X-Original-URL", "X-Rewrite-URL", "X-Host", "Forwarded",
		"Referer", "Location", "Refresh", "X-HTTP-Host-Override", "X-Azure-FDID", "Disguised-Host",
	}
	address = regexp.MustCompile(`https?://[^\s"'<>]+`)
)

// ours fails unless the page leads only to the app itself and to Microsoft.
func (f forger) ours(p *browser.Page, how string) {
	f.t.Helper()
	if to := p.Header.Get("Location"); to != "" && to != f.c.Link && !strings.HasPrefix(to, f.Microsoft.AuthorityURL()+"/") {
		f.t.Errorf("%s: sent to %q", how, to)
	}
	all := slices.Concat(p.Actions, p.Visited, address.FindAllString(p.Text, -1), []string{p.Header.Get("Location"), p.Refresh})
	for _, a := range all {
		if strings.Contains(strings.ToLower(a), "evil") {
			f.t.Errorf("%s: leads to %q", how, a)
		}
	}
	for name, values := range p.Header {
		if strings.Contains(strings.Join(values, " "), "evil.example") {
			f.t.Errorf("%s: header %s: %q", how, name, values)
		}
	}
	if strings.Contains(p.Text, "evil.example") {
		f.t.Errorf("%s: the page repeats the address: %s", how, p.Text)
	}
}

// Nothing that a request holds decides where a browser is sent: only to
// Microsoft's configured address, and to the link's own page.
func TestThreatOpenRedirect(t *testing.T) {
	b := siegeOf(t)
	f := b.forger(t)
	tries := 0
	try := func(how, query string, header ...string) {
		t.Helper()
		if tries++; tries%10 == 0 {
			f = b.forger(t) // the button of one link works so often only
		}
		f.ours(f.request("GET", f.c.Link+"?"+query, header...), "the link's page with "+how)
		f.ours(f.request("GET", f.callback()+"?"+query, header...), "the callback with "+how)
		p := f.send("POST", f.c.Link+"/authorize?"+query, button, header...)
		f.ours(p, "the button with "+how)
		if p.Status != 303 && p.Status != 403 {
			t.Errorf("the button with %s: %d", how, p.Status)
		}
	}
	for i, name := range evilParameters {
		v := evils[i%len(evils)]
		try("parameter "+name, url.Values{name: {v}}.Encode())
	}
	for i, name := range evilHeaders {
		try("header "+name, "x=1", name, evils[i%len(evils)])
	}
	all := url.Values{}
	for _, name := range evilParameters {
		all[name] = evils[:1]
	}
	try("all parameters", all.Encode())
	for _, path := range []string{"/connect//evil.example", "/connect/https://evil.example/", "//evil.example/connect/x", "/connect/%2f%2fevil.example", "/https://evil.example/"} {
		for _, method := range []string{"GET", "POST"} {
			if p := f.request(method, f.PublicURL+path); p.Status < 400 || p.Header.Get("Location") != "" {
				t.Errorf("%s %s: %d, to %q", method, path, p.Status, p.Header.Get("Location"))
			}
		}
	}

	// A whole trip whose every request to us is so spoiled ends where it would
	// have ended.
	f = b.forger(t)
	f.v.spoil = func(r *http.Request) {
		q := r.URL.Query()
		for _, name := range evilParameters {
			q.Set(name, evils[0])
		}
		r.URL.RawQuery = q.Encode()
		for _, name := range evilHeaders {
			r.Header.Set(name, evils[0])
		}
	}
	p := f.v.signIn(f.c.Link, f.c.admin())
	f.ours(p, "the sign-in of a spoiled trip")
	p = f.v.press(p, accept)
	f.ours(p, "the consent of a spoiled trip")
	if p.URL.Host != f.v.app || !strings.HasPrefix(f.c.Link, "https://"+f.v.app+"/connect/") || p.URL.Path != strings.TrimPrefix(f.c.Link, f.PublicURL) {
		t.Errorf("the trip ends at %s, want %s", p.URL, f.c.Link)
	}
	awaitRuns(t, b.Sandbox, f.c, 1)
	settled(t, b.Sandbox, f.c)
}

// hostTricks name another host than ours.
var hostTricks = [][]string{
	{"Host", "evil.example"},
	{"Host", "evil.example:443", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example;proto=http"},
	{"X-Original-Host", "evil.example", "X-HTTP-Method-Override", "POST"},
	{"X-Forwarded-Host", "evil.example, evil.example", "X-Forwarded-Port", "1", "X-Host", "evil.example"},
}

// Addresses are made of the configured one, whatever name we are called by.
func TestThreatHostHeader(t *testing.T) {
	b := siegeOf(t)
	f := b.forger(t)
	want := f.c.Link + "/authorize"
	for _, header := range hostTricks {
		p := f.request("GET", f.c.Link, header...)
		if p.Status != 200 || len(p.Actions) != 1 || p.Actions[0] != want {
			t.Errorf("with %v: %d, the button leads to %q, want %q", header, p.Status, p.Actions, want)
		}
		f.ours(p, strings.Join(header, " "))

		// The way to Microsoft names the configured callback, too.
		p = f.send("POST", want, button, append(header, "Sec-Fetch-Site", "same-origin")...)
		to, err := url.Parse(p.Header.Get("Location"))
		if err != nil || p.Status != 303 || to.Query().Get("redirect_uri") != f.PublicURL+"/consent/callback" {
			t.Errorf("with %v: %d, to %v, %v", header, p.Status, to, err)
		}
		cookie := p.Header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, "__Host-") || strings.Contains(cookie, "Domain") ||
			!strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
			t.Errorf("with %v: cookie %q", header, cookie)
		}

		// So does a link that the vendor asks for.
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.PublicURL+f.c.path("/link"), strings.NewReader(`{"action":"resend"}`))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
				req.Host = header[i+1]
			}
		}
		req.Header.Set("X-Functions-Key", f.FunctionKey)
		req.Header.Set("Content-Type", "application/json")
		var answer customer
		if body := f.answer(req, 200, &answer); answer.Link == f.c.Link || !strings.HasPrefix(answer.Link, f.PublicURL+"/connect/") || strings.Contains(body, "evil") {
			t.Errorf("with %v: the new link is %q: %s", header, answer.Link, body)
		}
		f.c.Link = answer.Link
		want = f.c.Link + "/authorize"
	}
}

// Looking at an address changes nothing, whoever looks: mail scanners open
// links before people do, and addresses of people's browsers after them.
func TestThreatMailScanner(t *testing.T) {
	b := siegeOf(t)
	f := b.forger(t)
	first := f.v.first(f.c.Link, f.c.admin())
	rows, n := stored(t, b.Sandbox), sent(t, b.Sandbox)
	for _, header := range append(hostTricks, nil, []string{"Purpose", "prefetch", "Sec-Purpose", "prefetch"}) {
		for _, method := range []string{"GET", "HEAD"} {
			if p := f.request(method, f.c.Link, header...); p.Status != 200 || p.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %v: %d, cookie %q", method, header, p.Status, p.Header.Get("Set-Cookie"))
			}
			// Whoever has no cookie began nothing, and ends nothing either.
			if p := f.request(method, first.String(), header...); p.Status < 400 || p.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s of a return, with %v: %d, cookie %q", method, header, p.Status, p.Header.Get("Set-Cookie"))
			}
		}
	}
	// The host does not even pass these on.
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		if p := f.request(method, f.c.Link); p.Status != 404 {
			t.Errorf("%s: %d, want 404", method, p.Status)
		}
	}
	if now := stored(t, b.Sandbox); !maps.Equal(now, rows) { // not even a state is used up
		t.Error("somebody who only looked has changed what is stored")
	}
	unchanged(t, b.Sandbox, rows, n)
	f.v.press(f.v.open(first.String()), accept) // where the scanner was before
	awaitRuns(t, b.Sandbox, f.c, 1)
	check(t, b.Sandbox, f.c)
}
