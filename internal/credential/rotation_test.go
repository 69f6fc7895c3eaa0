package credential

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

var one = connection.Access{Tenant: tenantOne}

// step is one request for a token without a kept one, after some time, and how
// many requests to Microsoft it takes.
func step(t *testing.T, w *world, c *Credentials, name string, after time.Duration, asked int) {
	t.Helper()
	w.pass(after)
	if n, err := w.fresh(c, one); err != nil || n != asked {
		t.Errorf("%s: %d requests, want %d, %v", name, n, asked, err)
	}
}

// A new version that is in the vault before Microsoft knows it stops nothing,
// and is used as soon as it is known.
func TestVaultBeforeRegistration(t *testing.T) {
	w := newWorld(t)
	old := w.secret("app-secret", appWide)
	c := w.open(Secret)
	step(t, w, c, "one version", 0, 1)
	w.pass(time.Second)
	renewed := w.secret("app-secret")
	step(t, w, c, "not looked at yet", time.Minute, 1)
	step(t, w, c, "refused, then the old one", 5*time.Minute, 2)
	step(t, w, c, "the refusal is remembered", 9*time.Minute, 1)
	step(t, w, c, "and forgotten", 2*time.Minute, 2)
	w.takes(appWide, renewed)
	step(t, w, c, "until then the old one", time.Minute, 1)
	w.pass(10 * time.Minute)
	w.refuses(appWide, old, 7000222)
	step(t, w, c, "the new one", 0, 1)
	if got := strings.Count(w.log.String(), "credential version refused"); got != 2 {
		t.Errorf("%d warnings for two refusals: %s", got, w.log.String())
	}
}

// A new version that Microsoft knows before it is in the vault: the old one
// works until its end, and at its end the vault is read at once.
func TestRegistrationBeforeVault(t *testing.T) {
	for _, code := range []int{7000215, 7000222, 700027} {
		w := newWorld(t)
		old := w.secret("app-secret", appWide)
		c := w.open(Secret)
		step(t, w, c, "old", 0, 1)
		w.pass(time.Minute)
		w.secret("app-secret", appWide)
		w.refuses(appWide, old, code)
		step(t, w, c, "reads again", 0, 2)
		step(t, w, c, "remembers", time.Second, 1)
	}
}

// What no version can do is our trouble, and asks the vault no more than
// every so often.
func TestNoVersionTaken(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret")
	w.pass(time.Second)
	w.secret("app-secret")
	c := w.open(Secret)
	n, err := w.fresh(c, one)
	if e := fault.Of(err); err == nil || n != 2 || e.Kind != fault.Unknown || e.Class != fault.Ours || e.Code != "AADSTS7000215" || e.Remedy == "" {
		t.Errorf("%d requests, %+v", n, e)
	}
	before := w.reads()
	for range 5 {
		w.pass(time.Second)
		if n, err := w.fresh(c, one); err == nil || n != 2 {
			t.Errorf("%d requests, %v", n, err)
		}
	}
	if got := w.reads() - before; got != 0 {
		t.Errorf("the vault was asked %d times in five seconds", got)
	}
	w.pass(proofRest)
	if _, err := w.fresh(c, one); err == nil || w.reads() == before {
		t.Errorf("the vault was not asked again, %v", err)
	}
}

// A refusal that says nothing of the credential tries no other.
func TestOtherRefusalTriesNoOther(t *testing.T) {
	w := newWorld(t)
	old := w.secret("app-secret", appWide)
	w.pass(time.Second)
	renewed := w.secret("app-secret")
	for _, code := range []int{700016, 53003, 90033, 700030 + 1} {
		w.refuses(appWide, renewed, code)
		w.refuses(appWide, old, 0)
		if n, err := w.fresh(w.open(Secret), one); err == nil || n != 1 || fault.Of(err).Code != fmt.Sprintf("AADSTS%d", code) {
			t.Errorf("%d requests, %v", n, err)
		}
	}
}

// Each app registration learns of a version by itself, and each profile's app
// has its own secret.
func TestAppsAreApart(t *testing.T) {
	w := newWorld(t)
	text, old := certificate(t, 0, w.now().AddDate(1, 0, 0))
	w.store("app-cert", text, "application/x-pem-file")
	w.pass(time.Second)
	text, renewed := certificate(t, 1, w.now().AddDate(1, 0, 0))
	w.store("app-cert", text, "application/x-pem-file")
	w.takes(appWide, old)
	w.takes(appBase, old)
	w.takes(appBase, renewed)
	base := connection.Access{Tenant: tenantOne, App: appBase}
	c := w.open(Certificate)
	if n, err := w.fresh(c, one); err != nil || n != 2 {
		t.Errorf("widest: %d requests, %v", n, err)
	}
	if n, err := w.fresh(c, base); err != nil || n != 1 {
		t.Errorf("base: %d requests, %v", n, err)
	}

	w.secret("app-secret", appWide)
	c = w.open(Secret)
	if _, err := w.fresh(c, base); fault.Of(err).Class != fault.Ours || fault.Of(err).Kind != fault.Unknown || !strings.Contains(fault.Of(err).Remedy, "app-secret-base") {
		t.Errorf("a missing secret: %+v", fault.Of(err))
	}
	w.secret("app-secret-base", appBase)
	w.pass(proofRest) // a failure is remembered as long
	if n, err := w.fresh(c, base); err != nil || n != 1 {
		t.Errorf("base: %d requests, %v", n, err)
	}
	stranger := connection.Access{Tenant: tenantOne, App: "dddddddd-0000-4000-8000-000000000001"}
	if n, err := w.fresh(c, stranger); n != 0 || fault.Of(err).Class != fault.Ours || !strings.Contains(fault.Of(err).Remedy, "ENTRA_APPS") {
		t.Errorf("an app that is not registered: %d requests, %+v", n, fault.Of(err))
	}
}

// The certificates of the vault, in both of its forms, and of files.
func TestCertificates(t *testing.T) {
	w := newWorld(t)
	pfx, err := os.ReadFile("testdata/app.pfx.base64")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseCertificate(string(pfx), "application/x-pkcs12")
	if err != nil {
		t.Fatal(err)
	}
	certificates.Store(p.thumbprint(), p.certs[0])
	w.takes(appWide, p.thumbprint())
	w.store("app-cert", string(pfx), "application/x-pkcs12")
	if n, err := w.fresh(w.open(Certificate), one); err != nil || n != 1 {
		t.Errorf("PKCS #12: %d requests, %v", n, err)
	}

	dir := t.TempDir()
	var files []string
	for i := range 3 {
		text, thumbprint := certificate(t, i, w.now().AddDate(1, 0, 0))
		files = append(files, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			w.takes(appWide, thumbprint)
		}
	}
	o := w.options()
	o.Kind, o.CertificateFiles = Certificate, files[:2]
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.fresh(c, one); err != nil || n != 2 {
		t.Errorf("second file: %d requests, %v", n, err)
	}
	o.CertificateFiles = files
	if _, err := New(o); !fault.Is(err, fault.Invalid) {
		t.Errorf("three files: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "junk": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o.CertificateFiles = []string{bad}
		if _, err := New(o); !fault.Is(err, fault.Invalid) || fault.Of(err).Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A file that breaks while the process runs stops nothing.
	if err := os.WriteFile(files[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if _, err := w.fresh(c, one); err != nil {
		t.Error(err)
	}
}

// What the vault holds is read by what Key Vault documents.
func TestVersions(t *testing.T) {
	off := func(v *version) { v.disabled = true }
	for name, set := range map[string]func(w *world) (good string){
		"disabled": func(w *world) string {
			good := w.secret("app-secret", appWide)
			w.pass(time.Second)
			w.store("app-secret", "s~"+rand.Text(), "", off)
			return good
		},
		"not begun": func(w *world) string {
			good := w.secret("app-secret", appWide)
			w.pass(time.Second)
			w.store("app-secret", "s~"+rand.Text(), "", func(v *version) { v.begins = w.at.Add(time.Hour) })
			return good
		},
		"newest expired": func(w *world) string {
			good := w.secret("app-secret", appWide)
			w.pass(time.Second)
			w.store("app-secret", "s~"+rand.Text(), "", func(v *version) { v.expire = w.at })
			return good
		},
		"unusable": func(w *world) string {
			good := w.secret("app-secret", appWide)
			w.pass(time.Second)
			w.store("app-secret", "two words and "+rand.Text(), "")
			return good
		},
		"in one second": func(w *world) string {
			w.secret("app-secret")
			w.secret("app-secret")
			return w.secret("app-secret", appWide)
		},
		"out of order": func(w *world) string {
			w.pass(time.Second)
			good := w.secret("app-secret", appWide)
			w.store("app-secret", "s~"+rand.Text(), "", func(v *version) { v.created = w.at.Add(-time.Minute) })
			return good
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			set(w)
			if n, err := w.fresh(w.open(Secret), one); err != nil || n != 1 {
				t.Errorf("%d requests, %v", n, err)
			}
		})
	}
}

// The vault is read once in a while, a version once for ever, and a vault that
// is down stops nobody who knows his credential.
func TestVaultIsKept(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret", appWide)
	c := w.open(Secret)
	reads := func(name string, after time.Duration, want int) {
		t.Helper()
		before := w.reads()
		w.pass(after)
		if _, err := w.fresh(c, one); err != nil || w.reads()-before != want {
			t.Errorf("%s: %d reads, want %d, %v", name, w.reads()-before, want, err)
		}
	}
	reads("first", 0, 2) // versions, value
	reads("kept", 4*time.Minute, 0)
	reads("looked at", 2*time.Minute, 1)
	w.do(func() { w.down = http.StatusForbidden })
	reads("refused", 6*time.Minute, 1)
	reads("not in a row", time.Second, 0)
	reads("but soon", proofRest, 1)
	w.do(func() { w.down, w.list = 0, nil })
	w.pass(time.Minute)
	for range 2 {
		if _, err := w.fresh(c, one); fault.Of(err).Class != fault.Ours || !strings.Contains(fault.Of(err).Remedy, "app-secret") {
			t.Errorf("taken away: %+v", fault.Of(err))
		}
	}
}

// Whatever the vault answers, no customer is to blame, and no secret is told.
func TestVaultFails(t *testing.T) {
	for _, f := range []struct {
		status int
		kind   fault.Kind
		class  fault.Class
		after  time.Duration
		remedy string
	}{
		{401, fault.Unknown, fault.Ours, 0, "Key Vault Secrets User"}, {403, fault.Unknown, fault.Ours, 0, "Key Vault Secrets User"},
		{404, fault.Unknown, fault.Ours, 0, "Put the secret app-secret"}, {429, fault.Throttled, fault.Transient, 7 * time.Second, ""}, {400, fault.Unknown, fault.Transient, 0, ""},
	} {
		w := newWorld(t)
		w.secret("app-secret", appWide)
		w.down = f.status
		o := w.options()
		o.Kind, o.Vault.Secret = Secret, "app-secret"
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.fresh(c, one)
		if e := fault.Of(err); err == nil || n != 0 || e.Kind != f.kind || e.Class != f.class || e.After != f.after || !strings.Contains(e.Remedy, f.remedy) {
			t.Errorf("%d: %d requests, %+v", f.status, n, e)
		}
	}
}

// A vault is believed by its name in TLS and in its challenge, wherever it is
// dialed.
func TestVaultName(t *testing.T) {
	w := newWorld(t)
	w.secret("app-secret", appWide)
	o := w.options()
	o.Kind, o.Vault.Secret, o.Vault.URL = Secret, "app-secret", "https://other.vault.azure.net"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fresh(c, one); err == nil || w.reads() != 0 || !strings.Contains(err.Error(), "x509") {
		t.Errorf("another name: %v", err)
	}
	w.resource = "https://vault.evil.example"
	if _, err := w.fresh(w.open(Secret), one); err == nil || w.reads() != 0 {
		t.Errorf("another challenge: %v", err)
	}
	for _, u := range []string{"http://rollcall.vault.azure.net", "rollcall.vault.azure.net", "https://", "https://a@rollcall.vault.azure.net", "https://rollcall.vault.azure.net/secrets"} {
		o.Vault.URL = u
		if _, err := New(o); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", u, err)
		}
	}
	o = w.options()
	o.Vault.Endpoint = "nowhere"
	if _, err := New(o); !fault.Is(err, fault.Invalid) {
		t.Errorf("endpoint: %v", err)
	}
}
