package proof

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
)

// secret is something that must not be in a log, and what it is.
type secret struct{ what, text string }

// secretsOf are what a log could tell of the tenant's people.
func secretsOf(people []tenant.Person, accounts []tenant.Account) (all []secret) {
	add := func(what string, texts ...string) {
		for _, s := range texts {
			if len(s) >= 6 { // a shorter one may stand in anything
				all = append(all, secret{what, s}, secret{what, url.QueryEscape(s)})
			}
		}
	}
	for _, p := range people {
		add("mail", p.Mail)
		add("mail", p.OtherMails...)
		add("mail", p.ProxyAddresses...)
		add("user name", p.UserPrincipalName)
		add("name", p.DisplayName)
		add("phone", p.MobilePhone)
		add("phone", p.BusinessPhones...)
	}
	for _, a := range accounts {
		add("user name", a.Username)
		add("name", a.Name)
	}
	return all
}

// links are the values in the stored delta and page links.
func links(t *testing.T, s *sandbox.Sandbox, c customer) (all []secret) {
	t.Helper()
	got, err := s.Tables.Client().NewClient("directory").GetEntity(t.Context(), c.ID, "c!", nil)
	if err != nil {
		t.Fatal(err)
	}
	var row struct{ D0 []byte }
	if err := json.Unmarshal(got.Value, &row); err != nil {
		t.Fatal(err)
	}
	var fence struct{ People struct{ Next, Delta string } }
	if err := json.Unmarshal(row.D0, &fence); err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{fence.People.Next, fence.People.Delta} {
		if _, token, ok := strings.Cut(l, "token="); ok {
			all = append(all, secret{"delta token", token})
		}
	}
	return all
}

// actor is for whom the vendor asks, which is for the audit log alone.
const actor = "ada.lovelace@vendor.example"

// governed goes on with the story: an app of the customer's own, which is
// refused at first; a pause; a transfer; an end; and a purge. It returns what
// that adds to the secrets.
func governed(t *testing.T, s *sandbox.Sandbox, c, other customer) (all []secret) {
	t.Helper()
	as := func(c customer, method, path, body string, want int) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.PublicURL+c.path(path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Functions-Key", s.FunctionKey)
		req.Header.Set("X-Rollcall-Actor", actor)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s %s: %d, want %d: %s %v", method, path, resp.StatusCode, want, b, err)
		}
		return b
	}
	// The vault holds something else, then an app with a secret that Microsoft
	// does not take, then one with a certificate.
	own, err := s.Microsoft.AddApp(microsoft.AppSpec{
		Tenant: other.tenant.ID, Permissions: teamsPermissions, RedirectURIs: []string{s.PublicURL + "/consent/callback"},
	})
	if err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		t.Helper()
		if _, err := s.Microsoft.SetVaultSecret("rollcall-app-"+other.ID, value, microsoft.VaultSecret{}); err != nil {
			t.Fatal(err)
		}
	}
	const wrong = "own-secret-that-is-wrong"
	put(wrong)
	as(other, "PUT", "/app", "", 422)
	as(other, "PUT", "/app", `{"secret":"`+wrong+`"}`, 422)
	put(`{"appId":"` + own + `","secret":"` + wrong + `"}`)
	as(other, "PUT", "/app", "", 200)
	v := visit(t, s)
	if p := v.signIn(other.Link, other.admin()); p.Status < 400 {
		t.Errorf("with a wrong secret: %d %s", p.Status, p.Heading)
	}
	cert, err := pki.App(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(map[string]string{"appId": own, "certificate": string(cert.PEM)})
	if err != nil {
		t.Fatal(err)
	}
	put(string(value))
	if err := s.Microsoft.RegisterCertificate(cert.Certificate, own); err != nil {
		t.Fatal(err)
	}
	s.Host.Kill() // it would look again within a quarter of a minute
	v.press(v.signIn(other.Link, other.admin()), accept)
	awaitRuns(t, s, other, 1)
	all = append(all, secretsOf(other.tenant.People(), other.tenant.Accounts)...)
	all = append(all, secret{"own secret", wrong}, secret{"private key", strings.Split(string(cert.PEM), "\n")[3]})
	for _, u := range v.returns {
		for _, p := range []string{"code", "state"} {
			if x := u.Query().Get(p); x != "" {
				all = append(all, secret{p, x})
			}
		}
	}

	// A run that is paused in the middle.
	disarm := c.arm(t, s, fault.Fault{Kind: fault.Throttle, Count: 1, RetryAfter: "1"})
	as(c, "PATCH", "", `{"schedule":{"every":"daily","at":"06:30","zone":"Europe/Amsterdam"}}`, 200)
	syncNow(t, s, c)
	await(t, s, c, "a run that waits", func(all []run) bool { return all[0].State == "waiting" })
	disarm()
	as(c, "POST", "/pause", "", 200)
	await(t, s, c, "a stopped run", func(all []run) bool { return all[0].State == "stopped" })
	as(c, "POST", "/resume", "", 200)
	as(c, "POST", "/people/"+c.tenant.People()[1].ID+"/sync", "", 202)
	as(c, "GET", "/audit", "", 200)
	settled(t, s, c)

	// Its tenant goes to another company, and all that was stored goes for good.
	taker, err := s.Invite(t.Context(), "taker", "Taker")
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(taker.Link, "/connect/")
	all = append(all, secret{"link", token})
	as(other, "POST", "/transfer", `{"to":"`+taker.ID+`"}`, 200)
	as(other, "DELETE", "?data=purge", "", 202)
	if err := sandbox.Await(within(t, 20*time.Second), "the purge", func() (bool, error) {
		conn := other.connection(t, s)
		return conn.Offboarding != nil && conn.Offboarding.Purged != nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// What the handler logs, at its most talkative and with everything going
// wrong, names no person and lets nobody in.
func TestThreatLogs(t *testing.T) {
	t.Parallel()
	log := &memory{}
	s := start(t, sandbox.Options{Log: log, PageSize: 20, Settings: map[string]string{
		"LOG_LEVEL": "debug", "SYNC_SPREAD": "0s", "ENTRA_CREDENTIAL": "secret", "ENTRA_SECRET_NAME": "app-secret",
	}})
	secrets := map[string]string{}
	for profile, name := range map[string]string{"mailboxes": "app-secret", "teams": "app-secret-teams", "base": "app-secret-base"} {
		secrets[name] = "vault-secret-of-" + profile
		if _, err := s.Microsoft.SetVaultSecret(name, secrets[name], microsoft.VaultSecret{Expires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Microsoft.SetSecret(secrets[name], time.Now().Add(time.Hour), s.Apps[profile]); err != nil {
			t.Fatal(err)
		}
	}
	c := invited(t, s, tenant.Spec{Name: "Contoso", People: 70})
	other := invited(t, s, tenant.Spec{Name: "Fabrikam", People: 3})
	all := secretsOf(c.tenant.People(), append(c.tenant.Accounts, tenant.Personal()))
	tell := func(what string, texts ...string) {
		for _, text := range texts {
			if text == "" {
				t.Errorf("no %s to look for", what)
				continue
			}
			all = append(all, secret{what, text}, secret{what, url.QueryEscape(text)})
		}
	}
	tell("function key", s.FunctionKey)
	tell("actor", actor)
	for _, secret := range secrets {
		tell("client secret", secret)
	}
	for _, inv := range []customer{c, other} {
		_, token, _ := strings.Cut(inv.Link, "/connect/")
		tell("link", token)
	}

	// An administrator gets there after all; others, and forgeries, do not.
	v := visit(t, s)
	v.signIn(c.Link, c.employee())
	v.signIn(c.Link, tenant.Personal())
	v.press(v.press(v.open(c.Link), begin), cancel)
	v.press(v.signIn(c.Link, c.admin()), cancel)
	first := v.first(c.Link, c.admin())
	v.open(with(first, "code", "stolen-authorization-code"))
	second := v.second(c.Link, c.admin())
	v.open(with(second, "error", "server_error", "error_description", "AADSTS90033: for "+c.admin().Username))
	v.open(second.String())
	disarm := c.arm(t, s, fault.Fault{Kind: fault.Throttle, Count: 1, RetryAfter: "0.1"}, fault.Fault{Kind: fault.Error, Status: 500, Skip: 1, Count: 1},
		fault.Fault{Kind: fault.Cut, Skip: 1, Count: 1}, fault.Fault{Path: fault.Token, Kind: fault.AADSTS, Code: 90033, Count: 1})
	v.press(v.signIn(c.Link, c.admin()), accept)
	awaitRuns(t, s, c, 1)
	disarm()
	all = append(all, links(t, s, c)...)
	for _, u := range v.returns {
		q := u.Query()
		for _, p := range []string{"code", "state"} {
			if q.Has(p) {
				tell(p, q.Get(p))
			}
		}
	}
	v.open(c.Link + "x")
	v.signIn(other.Link, c.admin()) // an owned tenant

	// Later runs: changes, refusals, links forgotten, a process killed.
	for i, fs := range [][]fault.Fault{
		{{Kind: fault.Resync, Count: 1}, {Kind: fault.Flap, Count: 1}},
		{{Kind: fault.Forbidden, Count: 2}}, // the second with a new token
		{{Kind: fault.Expired, Count: 1}, {Kind: fault.CutChunked, Count: 1}},
	} {
		if _, err := c.tenant.Apply(tenant.Bulk{Seed: uint64(i), Edit: 20, Remove: 2, Create: 3}); err != nil {
			t.Fatal(err)
		}
		all = append(all, secretsOf(c.tenant.People(), nil)...)
		disarm := c.arm(t, s, fs...)
		syncNow(t, s, c)
		awaitRuns(t, s, c, i+2)
		disarm()
		all = append(all, links(t, s, c)...)
	}
	all = append(all, governed(t, s, c, other)...)
	s.Tables.Fail(4, 500, "OperationTimedOut")
	for _, path := range []string{
		c.path("/people"), c.path("/people?limit=2&continuation=" + url.QueryEscape(s.FunctionKey)), c.path("/changes?after=x"),
		"/v1/connections?code=" + url.QueryEscape(s.FunctionKey), c.path("/runs/" + c.tenant.People()[0].UserPrincipalName),
	} {
		if _, err := s.Call(t.Context(), "GET", strings.ReplaceAll(path, " ", "%20"), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Host.Kill()
	check(t, s, c)
	if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
		t.Fatal(err)
	}
	if err := s.Host.Fire(t.Context(), "synctimer"); err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := sandbox.Await(within(t, 10*time.Second), "the last line", func() (bool, error) {
		lines = log.handler()
		return strings.Contains(lines[len(lines)-1], "slots started"), nil
	}); err != nil {
		t.Fatal(err)
	}

	jwt := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}`)
	told := map[string]bool{}
	for _, line := range lines {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("a line that is no JSON object: %s", line)
		}
		msg, _ := entry["msg"].(string)
		told[msg] = true
		plain := fmt.Sprint(entry) // without JSON's escapes
		for _, x := range all {
			if strings.Contains(line, x.text) || strings.Contains(plain, x.text) {
				t.Errorf("a line tells a %s, %q: %s", x.what, x.text, line)
			}
		}
		if jwt.MatchString(line) {
			t.Errorf("a line holds a token: %s", line)
		}
	}
	// The story was told, so there was something to give away.
	for _, msg := range []string{
		"refused", "consent verified", "run waits", "run ended", "run failed", "begins anew: Microsoft no longer knew the link", "slots started",
		"credential version refused", "credential expires soon", "run stopped: the connection is paused", "connection offboarded", "connection purged",
	} {
		if !told[msg] {
			t.Errorf("no line says %q", msg)
		}
	}
	t.Logf("%d lines, %d secrets", len(lines), len(all))
}
