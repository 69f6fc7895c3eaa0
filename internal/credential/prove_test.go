package credential

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// prove lets the app prove itself and returns by which code it is refused.
func (w *world) prove(c *Credentials, app connection.App) (url.Values, int) {
	w.t.Helper()
	endpoint := w.login.URL + "/organizations/oauth2/v2.0/token"
	form, err := c.Prove(w.t.Context(), app, endpoint)
	if err != nil {
		w.t.Fatal(err)
	}
	sent := url.Values{"client_id": {app.ID}}
	for k := range form {
		sent.Set(k, form.Get(k))
	}
	return form, w.judge(sent, endpoint)
}

func TestProve(t *testing.T) {
	w := newWorld(t)
	text, thumbprint := certificate(t, 0, w.now().AddDate(1, 0, 0))
	w.store("app-cert", text, "application/x-pem-file")
	w.secret("app-secret", appWide)
	w.secret("app-secret-base", appBase)
	w.store(ownSecret, ownJSON(t, appOwn, "secret", "hunter2hunter2"), "")
	w.takes(appOwn, "hunter2hunter2")
	for _, app := range []string{appWide, appBase} {
		w.takes(app, thumbprint)
		w.takes(app, "api://AzureADTokenExchange")
	}
	for kind, members := range map[Kind]int{Federated: 2, Certificate: 2, Secret: 1} {
		c := w.open(kind)
		for _, app := range []connection.App{{ID: appWide}, {ID: appBase}} {
			form, code := w.prove(c, app)
			if code != 0 || len(form) != members {
				t.Errorf("%s: app %s is refused by %d, %d members", kind, app.ID, code, len(form))
			}
		}
		if form, code := w.prove(c, connection.App{ID: appOwn, Own: ownSecret}); code != 0 || len(form) != 1 {
			t.Errorf("%s: own app is refused by %d", kind, code)
		}
	}
	// An assertion is used once: no two are equal.
	c := w.open(Certificate)
	one, _ := w.prove(c, connection.App{ID: appWide})
	two, _ := w.prove(c, connection.App{ID: appWide})
	if one.Get("client_assertion") == two.Get("client_assertion") {
		t.Error("the same assertion twice")
	}
}

// What the token endpoint refuses is not tried again while there is another.
func TestRefusedProof(t *testing.T) {
	w := newWorld(t)
	text, old := certificate(t, 0, w.now().AddDate(1, 0, 0))
	w.store("app-cert", text, "application/x-pem-file")
	secret := w.secret("app-secret", appWide)
	w.pass(time.Second)
	text, _ = certificate(t, 1, w.now().AddDate(1, 0, 0))
	w.store("app-cert", text, "application/x-pem-file")
	w.secret("app-secret")
	w.takes(appWide, old)
	app := connection.App{ID: appWide}
	for _, kind := range []Kind{Certificate, Secret} {
		c := w.open(kind)
		form, code := w.prove(c, app)
		if code == 0 {
			t.Fatalf("%s: the new one is taken", kind)
		}
		if c.Refused(t.Context(), app, form, "AADSTS54005") {
			t.Errorf("%s: a used code is no refused proof", kind)
		}
		if !c.Refused(t.Context(), app, form, fmt.Sprintf("AADSTS%d", code)) {
			t.Errorf("%s: no other", kind)
		}
		if form, code = w.prove(c, app); code != 0 {
			t.Errorf("%s: refused by %d again", kind, code)
		}
		if c.Refused(t.Context(), app, form, "AADSTS7000215") {
			t.Errorf("%s: both are refused, and yet another", kind)
		}
		if strings.Contains(w.log.String(), secret) {
			t.Error("logged")
		}
	}
	c := w.open(Federated)
	form, _ := w.prove(c, app)
	if c.Refused(t.Context(), app, form, "AADSTS700027") || c.Refused(t.Context(), connection.App{Own: "x"}, form, "AADSTS700027") {
		t.Error("there is one managed identity")
	}
}

func TestProveFails(t *testing.T) {
	w := newWorld(t)
	t.Setenv("IDENTITY_HEADER", "wrong")
	c := w.open(Federated)
	_, err := c.Prove(t.Context(), connection.App{ID: appWide}, w.login.URL)
	if e := fault.Of(err); e == nil || e.Kind != fault.Unknown || e.Class != fault.Ours || !strings.Contains(e.Remedy, "managed identity") {
		t.Errorf("no identity: %+v", e)
	}
	if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("no identity: %v", err)
	}
	if n, err := w.fresh(c, one); n != 0 || fault.Of(err).Class != fault.Ours {
		t.Errorf("no identity: %d requests, %v", n, err)
	}
	if _, err := c.Prove(t.Context(), connection.App{ID: appOwn, Own: ownSecret}, w.login.URL); fault.Of(err).Kind != fault.Unknown {
		t.Errorf("no vault without an identity: %v", err)
	}
}

func TestExpiring(t *testing.T) {
	w := newWorld(t)
	day := 24 * time.Hour
	ends := func(at time.Time) func(*version) { return func(v *version) { v.expire = at } }
	start := w.now()
	soon, later := start.Add(20*day), start.Add(300*day)
	text, _ := certificate(t, 0, soon)
	w.store("app-cert", text, "")
	w.store("app-secret", "s~"+rand.Text(), "", ends(soon))
	w.store("app-secret-base", "s~"+rand.Text(), "", ends(later))
	w.store("rollcall-app-a", ownJSON(t, appOwn, "secret", "hunter2hunter2"), "", ends(start.Add(-day)))
	w.store("rollcall-app-b", ownJSON(t, appOwn, "certificate", text), "")
	w.store("rollcall-app-c", ownJSON(t, appOwn, "secret", "hunter2hunter2"), "")
	w.store("rollcall-app-d", "{}", "")
	owns := map[string]string{"a": "rollcall-app-a", "b": "rollcall-app-b", "c": "rollcall-app-c", "d": "rollcall-app-d", "e": "rollcall-app-e"}
	check := func(name string, kind Kind, owns map[string]string, want ...connection.Expiry) {
		t.Helper()
		got, err := w.open(kind).Expiring(t.Context(), 30*day, owns)
		if len(got) != len(want) {
			t.Errorf("%s: %v, %v", name, got, err)
			return
		}
		for i := range want {
			if !got[i].Expires.Equal(want[i].Expires) || got[i].Name != want[i].Name || got[i].What != want[i].What || got[i].Connection != want[i].Connection {
				t.Errorf("%s: %v, want %v", name, got[i], want[i])
			}
		}
		if (err != nil) != (owns != nil) || err != nil && (!strings.Contains(err.Error(), "rollcall-app-d") || !strings.Contains(err.Error(), "rollcall-app-e") || strings.Contains(err.Error(), "rollcall-app-c")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("federated", Federated, nil)
	check("secret", Secret, nil, connection.Expiry{What: "secret", Name: "app-secret", Expires: soon})
	own := []connection.Expiry{{What: "secret", Name: "rollcall-app-a", Connection: "a", Expires: start.Add(-day)}, {What: "certificate", Name: "rollcall-app-b", Connection: "b", Expires: soon}}
	check("own", Federated, owns, own...)
	check("certificate", Certificate, owns, own[0], connection.Expiry{What: "certificate", Name: "app-cert", Expires: soon}, own[1])

	// A new version ends the warning, unless Microsoft refuses it.
	w.pass(time.Second)
	renewed := "s~" + rand.Text()
	w.store("app-secret", renewed, "", ends(later))
	check("renewed", Secret, nil)
	w.takes(appWide, w.list[1].value)
	c := w.open(Secret)
	if n, err := w.fresh(c, one); err != nil || n != 2 {
		t.Errorf("%d requests, %v", n, err)
	}
	if got, err := c.Expiring(t.Context(), 30*day, nil); err != nil || len(got) != 1 || !got[0].Expires.Equal(soon) {
		t.Errorf("not registered: %v, %v", got, err)
	}
}
