package credential

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// A token lives for an hour here. It is replaced ten minutes before its end,
// and kept if that fails.
func TestRefreshedEarly(t *testing.T) {
	w := newWorld(t)
	secret := w.secret("app-secret", appWide)
	c := w.open(Secret)
	first, _, err := w.get(c, one)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(name string, after time.Duration, same bool, asked int) {
		t.Helper()
		w.pass(after)
		token, n, err := w.get(c, one)
		if err != nil || n != asked || (token == first) != same {
			t.Errorf("%s: %d requests, want %d, the same %v, %v", name, n, asked, token == first, err)
		}
		first = token
	}
	expect("kept", 49*time.Minute, true, 0)
	expect("early", 2*time.Minute, false, 1)
	expect("kept", 49*time.Minute, true, 0)
	w.refuses(appWide, secret, 53003)
	expect("fails", 2*time.Minute, true, 1)
	expect("not in a row", 30*time.Second, true, 0)
	expect("fails again", 40*time.Second, true, 1)
	w.pass(7*time.Minute + 30*time.Second)
	if _, n, err := w.get(c, one); n != 1 || fault.Of(err).Class != fault.Policy {
		t.Errorf("in its last minute: %d requests, %v", n, err)
	}
	w.refuses(appWide, secret, 0)
	expect("mended", 0, false, 1)
}

// Many that come while a token is on its way wait for that one; many that come
// while it is only renewed do not wait.
func TestNoStampede(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret", appWide)
	c := w.open(Secret)
	all := func(n int) []string {
		got := make([]string, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				token, _, err := w.get(c, one)
				if err != nil {
					t.Error(err)
				}
				got[i] = token
			})
		}
		wg.Wait()
		return got
	}
	for _, token := range all(32) {
		if token == "" || token != all(1)[0] {
			t.Errorf("token %q", token)
		}
	}
	if w.count() != 1 || w.reads() != 2 {
		t.Errorf("%d requests, %d reads", w.count(), w.reads())
	}

	old := all(1)[0]
	w.pass(51 * time.Minute)
	hold := make(chan struct{})
	w.do(func() { w.hold = hold })
	renewed := make(chan string)
	go func() { renewed <- all(1)[0] }()
	<-w.arrived
	for _, token := range all(32) {
		if token != old {
			t.Errorf("waited for %q", token)
		}
	}
	close(hold)
	if token := <-renewed; token == old || w.count() != 2 {
		t.Errorf("renewed %v, %d requests", token != old, w.count())
	}
}

// Who stops waiting leaves at once, and stops nobody else.
func TestLeaving(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret", appWide)
	c := w.open(Secret)
	cred, err := c.Tenant(one)
	if err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	w.do(func() { w.hold = hold })
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error), make(chan error)
	go func() { _, err := cred.GetToken(ctx, graphScope); left <- err }()
	<-w.arrived
	go func() { _, err := cred.GetToken(t.Context(), graphScope); stayed <- err }()
	cancel()
	if err := <-left; fault.Of(err).Class != fault.Transient || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("left: %v", err)
	}
	close(hold)
	if err := <-stayed; err != nil || w.count() != 1 {
		t.Errorf("stayed: %d requests, %v", w.count(), err)
	}
}

// A token that is asked for with claims is a new one.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret", appWide)
	c := w.open(Secret)
	first, _, err := w.get(c, one)
	if err != nil {
		t.Fatal(err)
	}
	cred, _ := c.Tenant(one)
	o := graphScope
	o.Claims = `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`
	for range 2 {
		if k, err := cred.GetToken(t.Context(), o); err != nil || k.Token == first {
			t.Errorf("the same %v, %v", k.Token == first, err)
		}
	}
}

// Answers that are no token tell nothing of what they held.
func TestBrokenAnswers(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"cut": func(rw http.ResponseWriter) {
			_, _ = io.WriteString(rw, `{"token_type":"Bearer","expires_in":3600,"access_token":"eyJhunter2`)
		},
		"other type": func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"access_token":["eyJhunter2"]}`) },
		"no token":   func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"refresh_token":"eyJhunter2"}`) },
		"HTML":       func(rw http.ResponseWriter) { rw.WriteHeader(502); _, _ = io.WriteString(rw, `<p>eyJhunter2`) },
		"endless": func(rw http.ResponseWriter) {
			_, _ = io.WriteString(rw, `{"access_token":"eyJhunter2","token_type":"Bearer","expires_in":3600,"x":"`+strings.Repeat("x", 2<<20)+`"}`)
		},
		"hang-up": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		w := newWorld(t)
		secret := w.secret("app-secret", appWide)
		w.answer = func(rw http.ResponseWriter, _ *http.Request) { answer(rw) }
		_, _, err := w.get(w.open(Secret), one)
		if e := fault.Of(err); err == nil || e.Kind != fault.Unknown || e.Class != fault.Transient || e.Remedy == "" {
			t.Errorf("%s: %+v", name, e)
		}
		if all := fmt.Sprintf("%v %+v", err, err); strings.Contains(all, "hunter2") || strings.Contains(all, secret) {
			t.Errorf("%s: tells %s", name, all)
		}
	}
	w := newWorld(t)
	w.secret("app-secret", appWide)
	w.login.Close()
	if _, _, err := w.get(w.open(Secret), one); fault.Of(err).Class != fault.Transient || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestNew(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*Options){
		"no identity":          func(o *Options) { o.Identity = "" },
		"no apps":              func(o *Options) { o.Apps = nil },
		"app is no GUID":       func(o *Options) { o.Apps = connection.Apps{"base": "x"} },
		"unknown kind":         func(o *Options) { o.Kind = "password" },
		"secret, no name":      func(o *Options) { o.Kind = Secret },
		"secret, a path":       func(o *Options) { o.Kind = Secret; o.Vault.Secret = "a/b" },
		"secret, no vault":     func(o *Options) { o.Kind = Secret; o.Vault = VaultOptions{Secret: "a"} },
		"certificate, no name": func(o *Options) { o.Kind = Certificate },
		"certificate, no file": func(o *Options) { o.Kind = Certificate; o.CertificateFiles = []string{"/nowhere"} },
	} {
		o := w.options()
		change(&o)
		if _, err := New(o); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for authority, want := range map[string]string{
		"https://login.microsoftonline.com": "api://AzureADTokenExchange", "https://login.microsoftonline.us": "api://AzureADTokenExchangeUSGov",
		"https://login.chinacloudapi.cn": "api://AzureADTokenExchangeChina", "https://127.0.0.1:1": "api://AzureADTokenExchange",
	} {
		if got := exchangeAudience(authority); got != want {
			t.Errorf("%s: %s", authority, got)
		}
	}
}
