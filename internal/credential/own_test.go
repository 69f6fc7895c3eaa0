package credential

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

func ownJSON(t testing.TB, app, member, value string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{"appId": app, member: value})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A connection's own app proves itself by its own secret, and the vendor's
// credential is not needed for it.
func TestOwnApp(t *testing.T) {
	w := newWorld(t)
	text, thumbprint := certificate(t, 0, w.now().AddDate(1, 0, 0))
	secret := "own~" + rand.Text()
	w.do(func() { w.private = append(w.private, secret) })
	w.takes(appOwn, secret)
	w.takes(appOwn, thumbprint)
	c := w.open(Federated)
	for name, value := range map[string]string{
		"secret":          ownJSON(t, appOwn, "secret", secret),
		"upper-case GUID": ownJSON(t, strings.ToUpper(appOwn), "secret", secret),
		"certificate":     ownJSON(t, appOwn, "certificate", text),
	} {
		w.pass(time.Minute)
		w.store(ownSecret, value, "application/json")
		if id, err := c.OwnApp(t.Context(), ownSecret); err != nil || id != appOwn {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		for _, app := range []string{appOwn, ""} {
			if n, err := w.fresh(c, connection.Access{Tenant: tenantOne, App: app, Own: ownSecret}); err != nil || n != 1 {
				t.Errorf("%s: %d requests, %v", name, n, err)
			}
		}
	}
}

// Another app in the secret is not the one that the customer consented to.
func TestOwnAppReplaced(t *testing.T) {
	w := newWorld(t)
	const other = "cccccccc-0000-4000-8000-000000000002"
	w.takes(appOwn, "secret-of-one")
	w.takes(other, "secret-of-two")
	w.store(ownSecret, ownJSON(t, appOwn, "secret", "secret-of-one"), "")
	w.pass(time.Minute)
	w.store(ownSecret, ownJSON(t, other, "secret", "secret-of-two"), "")
	c := w.open(Federated)
	if id, err := c.OwnApp(t.Context(), ownSecret); err != nil || id != other {
		t.Errorf("%q, %v", id, err)
	}
	if n, err := w.fresh(c, connection.Access{Tenant: tenantOne, App: appOwn, Own: ownSecret}); err != nil || n != 1 {
		t.Errorf("the one before: %d requests, %v", n, err)
	}
	w.pass(time.Minute)
	const third = "cccccccc-0000-4000-8000-000000000003"
	w.store(ownSecret, ownJSON(t, third, "secret", "secret-of-3rd"), "")
	if id, err := c.OwnApp(t.Context(), ownSecret); err != nil || id != third {
		t.Errorf("a minute later: %q, %v", id, err)
	}
	w.pass(proofLife)
	n, err := w.fresh(c, connection.Access{Tenant: tenantOne, App: appOwn, Own: ownSecret})
	if e := fault.Of(err); n != 0 || e.Class != fault.Policy || e.Kind != fault.Denied || !strings.Contains(e.Remedy, "another app") {
		t.Errorf("gone: %d requests, %+v", n, e)
	}
	if _, err := c.Prove(t.Context(), connection.App{ID: appOwn, Own: ownSecret}, w.login.URL); fault.Of(err).Class != fault.Policy {
		t.Errorf("gone: %v", err)
	}
}

// What is wrong with a secret is said without saying what is in it.
func TestThreatOwnApp(t *testing.T) {
	w := newWorld(t)
	good, _ := certificate(t, 0, w.now().AddDate(1, 0, 0))
	other, _ := certificate(t, 1, w.now().AddDate(1, 0, 0))
	expired, _ := certificate(t, 0, w.now().Add(-time.Hour))
	weak, _ := selfSigned(t, must(rsa.GenerateKey(rand.Reader, 1024)), w.now().AddDate(1, 0, 0))
	const private = "hunter2hunter2"
	i := strings.Index(good, "-----BEGIN CERTIFICATE")
	j := strings.Index(other, "-----BEGIN CERTIFICATE")
	c := w.open(Federated)
	bad := map[string]string{
		"empty": "", "text": private, "array": `["` + private + `"]`, "null": "null", "no app": ownJSON(t, "", "secret", private), "app is no GUID": ownJSON(t, private, "secret", private),
		"nothing": ownJSON(t, appOwn, "secret", ""), "both": fmt.Sprintf(`{"appId":%q,"secret":%q,"certificate":%q}`, appOwn, private, good),
		"unknown member": fmt.Sprintf(`{"appId":%q,"secret":%[2]q,%[2]q:1}`, appOwn, private), "two values": ownJSON(t, appOwn, "secret", private) + `{}`,
		"secret of words": ownJSON(t, appOwn, "secret", private+" "+private), "short secret": ownJSON(t, appOwn, "secret", "hunter2"),
		"secret is a number": fmt.Sprintf(`{"appId":%q,"secret":12345678}`, appOwn), "huge": ownJSON(t, appOwn, "secret", private) + strings.Repeat(" ", maxProof),
		"certificate without key": ownJSON(t, appOwn, "certificate", good[i:]), "key without certificate": ownJSON(t, appOwn, "certificate", good[:i]),
		"key of another": ownJSON(t, appOwn, "certificate", good[:i]+other[j:]), "no certificate": ownJSON(t, appOwn, "certificate", private),
		"elliptic": ownJSON(t, appOwn, "certificate", pemOf(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))+good[i:]),
		"short":    ownJSON(t, appOwn, "certificate", weak),
		"expired":  ownJSON(t, appOwn, "certificate", expired),
	}
	for name, value := range bad {
		w.pass(time.Minute)
		w.do(func() { w.list = nil })
		w.store(ownSecret, value, "")
		if value == "" {
			w.private = w.private[:len(w.private)-1]
		}
		_, err := c.OwnApp(t.Context(), ownSecret)
		if !fault.Is(err, fault.Invalid) || fault.Of(err).Remedy == "" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		code := connection.OwnNotJSON
		switch name {
		case "null", "no app", "app is no GUID":
			code = connection.OwnNoApp
		case "nothing", "both", "secret of words", "short secret":
			code = connection.OwnNoProof
		case "certificate without key", "key without certificate", "key of another", "no certificate", "elliptic", "short":
			code = connection.OwnBadCertificate
		case "expired":
			code = connection.OwnExpired
		}
		if got := fault.Of(err).Code; got != code {
			t.Errorf("%s: code %q, want %q", name, got, code)
		}
		if all := err.Error() + fault.Of(err).Remedy; strings.Contains(all, "hunter2") || strings.Contains(all, "BEGIN") || strings.Contains(all, "12345678") {
			t.Errorf("%s: tells %s", name, all)
		}
		if name == "expired" {
			continue
		}
		if n, err := w.fresh(c, connection.Access{Tenant: tenantOne, Own: ownSecret}); n != 0 || name != "empty" && (fault.Of(err).Class != fault.Policy || !strings.Contains(fault.Of(err).Remedy, ownSecret)) {
			t.Errorf("%s: %d requests, %v", name, n, err)
		}
	}
	if strings.Contains(w.log.String(), "hunter2") {
		t.Error(w.log.String())
	}
}

func must[K any](k K, err error) K {
	if err != nil {
		panic(err)
	}
	return k
}

// Only secrets that are named as an own app's are read, and each failure of the
// vault has its kind.
func TestOwnAppFaults(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret", appWide)
	c := w.open(Secret)
	for _, name := range []string{"", "app-secret", "rollcall-app-", "rollcall-app-a/versions", "rollcall-app-A", "rollcall-app-a?x=1", "x-rollcall-app-a", "rollcall-app-" + strings.Repeat("a", 101)} {
		if _, err := c.OwnApp(t.Context(), name); !fault.Is(err, fault.Invalid) || fault.Of(err).Remedy == "" {
			t.Errorf("%q: %v", name, err)
		}
		if name != "" {
			if _, err := c.Tenant(connection.Access{Tenant: tenantOne, Own: name}); !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", name, err)
			}
			if _, err := c.Prove(t.Context(), connection.App{ID: appOwn, Own: name}, w.login.URL); fault.Of(err).Class != fault.Policy {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	if w.reads() != 0 {
		t.Errorf("%d reads", w.reads())
	}
	if _, err := c.OwnApp(t.Context(), ownSecret); !fault.Is(err, fault.NotFound) || !strings.Contains(fault.Of(err).Remedy, ownSecret) || fault.Of(err).Code != connection.OwnMissing {
		t.Errorf("missing: %v", err)
	}
	w.down = http.StatusForbidden
	if _, err := c.OwnApp(t.Context(), ownSecret+"a"); !fault.Is(err, fault.Denied) || !strings.Contains(fault.Of(err).Remedy, "Key Vault Secrets User") || fault.Of(err).Code != connection.OwnForbidden {
		t.Errorf("refused: %v", err)
	}
	w.down = http.StatusInternalServerError
	if _, err := c.OwnApp(t.Context(), ownSecret+"b"); !fault.Is(err, fault.Unknown) || fault.Of(err).Code != connection.OwnUnreachable {
		t.Errorf("down: %v", err)
	}
	w.down = http.StatusTooManyRequests
	if _, err := c.OwnApp(t.Context(), ownSecret+"c"); !fault.Is(err, fault.Throttled) {
		t.Errorf("busy: %v", err)
	}
	o := w.options()
	o.Vault = VaultOptions{}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OwnApp(t.Context(), ownSecret); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Of(err).Remedy, "KEY_VAULT_URL") || fault.Of(err).Code != connection.OwnNoVault {
		t.Errorf("no vault: %v", err)
	}
}

// The public page asks for an own app with every visit. However often, and
// whatever is wrong with the secret, the vault is asked once in a while; who
// says that something is mended finds it mended at once.
func TestVaultIsNotHammered(t *testing.T) {
	expired, _ := certificate(t, 0, time.Now().Add(-time.Hour))
	for name, tc := range map[string]struct {
		value  string
		kind   fault.Kind
		status int // of the vault
		reads  int
	}{
		"good":    {ownJSON(t, appOwn, "secret", "hunter2hunter2"), -1, 0, 2}, // versions, value
		"missing": {"", fault.NotFound, 0, 1},
		"no app":  {"{}", fault.Invalid, 0, 2},
		"expired": {ownJSON(t, appOwn, "certificate", expired), fault.Invalid, 0, 2},
		"refused": {"{}", fault.Denied, http.StatusForbidden, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.value != "" {
				w.store(ownSecret, tc.value, "")
			}
			w.down = tc.status
			c := w.open(Federated)
			visit := func(reads int) {
				t.Helper()
				before := w.reads()
				for range 50 {
					if id, err := c.KnownApp(t.Context(), ownSecret); tc.kind < 0 && (err != nil || id != appOwn) || tc.kind >= 0 && !fault.Is(err, tc.kind) {
						t.Fatalf("%q, %v", id, err)
					}
					if _, err := w.fresh(c, connection.Access{Tenant: tenantOne, Own: ownSecret}); tc.kind >= 0 && err == nil {
						t.Fatal("a token without a credential")
					}
				}
				if n := w.reads() - before; n != reads {
					t.Errorf("50 visits ask the vault %d times, want %d", n, reads)
				}
			}
			w.takes(appOwn, "hunter2hunter2")
			if name == "expired" { // which Microsoft says too
				p, err := parseOwn(tc.value, "")
				if err != nil {
					t.Fatal(err)
				}
				w.refuses(appOwn, p.thumbprint(), 700027)
			}
			visit(tc.reads)
			w.pass(proofRest)
			visit(1)
			w.pass(time.Second)
			w.down = 0
			const mended = "cccccccc-0000-4000-8000-000000000009"
			w.store(ownSecret, ownJSON(t, mended, "secret", "hunter3hunter3"), "")
			for _, get := range []func(context.Context, string) (string, error){c.OwnApp, c.KnownApp} {
				if id, err := get(t.Context(), ownSecret); err != nil || id != mended {
					t.Errorf("mended: %q, %v", id, err)
				}
			}
		})
	}
}

// What Microsoft does not take of an own app is its owner's to mend, and its
// connection says so; a vault that refuses us is not.
func TestOwnAppIsItsOwners(t *testing.T) {
	w := newWorld(t)
	w.store(ownSecret, ownJSON(t, appOwn, "secret", "hunter2hunter2"), "")
	c := w.open(Federated)
	a := connection.Access{Tenant: tenantOne, App: appOwn, Own: ownSecret}
	for _, code := range []int{7000215, 7000222, 700030, 700213, 500011, 90038} {
		w.refuses(appOwn, "hunter2hunter2", code)
		_, err := w.fresh(c, a)
		if e := fault.Of(err); e == nil || e.Kind != fault.Denied || e.Class != fault.Policy || e.Code != fmt.Sprintf("AADSTS%d", code) || !strings.Contains(e.Remedy, ownSecret) {
			t.Errorf("%d: %+v", code, e)
		}
	}
	for code, class := range map[int]fault.Class{700016: fault.Disconnected, 90033: fault.Transient, 53003: fault.Policy} {
		w.refuses(appOwn, "hunter2hunter2", code)
		if _, err := w.fresh(c, a); fault.Of(err).Class != class || strings.Contains(fault.Of(err).Remedy, ownSecret) {
			t.Errorf("%d: %+v", code, fault.Of(err))
		}
	}
	a.Own += "a"
	_, err := w.fresh(c, a)
	if e := fault.Of(err); e == nil || e.Kind != fault.Denied || e.Class != fault.Policy || !strings.Contains(e.Remedy, a.Own) {
		t.Errorf("no such secret: %+v", e)
	}
	w.pass(proofRest)
	w.down = http.StatusForbidden
	if _, err := w.fresh(c, a); fault.Of(err).Class != fault.Ours || fault.Of(err).Kind != fault.Unknown {
		t.Errorf("the vault refuses: %+v", fault.Of(err))
	}
}

// Nothing of a value leaves its parser but in the proof.
func FuzzParse(f *testing.F) {
	text, _ := certificate(f, 0, time.Now().AddDate(1, 0, 0))
	for _, s := range []string{"", "{}", "null", text, ownJSON(f, appOwn, "certificate", text), ownJSON(f, appOwn, "secret", "s~0123456789"), "MIIK", "-----BEGIN CERTIFICATE-----\nMIIK\n-----END CERTIFICATE-----"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i, parse := range []parser{parseSecret, parseCertificate, parseOwn} {
			p, err := parse(s, "")
			if err != nil {
				if !fault.Is(err, fault.Invalid) || fault.Of(err).Remedy == "" || len(s) > 40 && strings.Contains(err.Error(), s) {
					t.Errorf("%d: %v", i, err)
				}
				continue
			}
			if (p.key == nil) == (p.secret == "") || p.key != nil && (!p.key.PublicKey.Equal(p.certs[0].PublicKey) || p.key.N.BitLen() < 2048) || i == 2 && !guid.MatchString(p.app) {
				t.Errorf("%d: %q is a proof", i, s)
			}
		}
	})
}
