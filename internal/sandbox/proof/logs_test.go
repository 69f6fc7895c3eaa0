package proof

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
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

// What the handler logs, at its most talkative and with everything going
// wrong, names no person and lets nobody in.
func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	log := &memory{}
	s := start(t, sandbox.Options{Log: log, PageSize: 20, Settings: map[string]string{"LOG_LEVEL": "debug"}})
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
		"refused", "consent verified", "run waits", "run ended", "run failed", "full enumeration begins", "slots started",
	} {
		if !told[msg] {
			t.Errorf("no line says %q", msg)
		}
	}
	t.Logf("%d lines, %d secrets", len(lines), len(all))
}
