package proof

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// besieged is the sandbox that the threats share which leave nothing behind:
// to start one takes longer than all that is done to it. The first of them
// starts it, and [TestMain] closes it. They run one after the other, since each
// looks at all that is stored.
var besieged siege

type siege struct {
	once sync.Once
	err  error
	*sandbox.Sandbox
	log *memory
	key []byte // signs the links
	// owned is a connected customer.
	owned customer
	slow  slowness
}

func (b *siege) close() error {
	if b.Sandbox == nil {
		return nil
	}
	return errors.Join(b.slow.stop(), b.Close())
}

// siegeOf returns the shared sandbox.
func siegeOf(t *testing.T) *siege {
	t.Helper()
	b := &besieged
	b.once.Do(func() {
		b.key, b.log = make([]byte, 32), &memory{}
		_, _ = rand.Read(b.key) // never fails
		keys := map[string]string{"LINK_KEYS": base64.StdEncoding.EncodeToString(b.key)}
		if b.Sandbox, b.err = launch(context.Background(), sandbox.Options{Log: io.MultiWriter(b.log, testLog{}), Settings: keys}); b.err == nil {
			b.owned = connected(t, b.Sandbox, tenant.Spec{Name: "Owner", People: 15})
			b.err = b.slow.begin(t.Context(), b, invited(t, b.Sandbox, tenant.Spec{People: 3}))
		}
	})
	if b.err != nil || b.owned.tenant == nil {
		t.Fatal("the shared sandbox did not start: ", b.err)
	}
	return b
}

// forger is what the forged consents have at hand.
type forger struct {
	*sandbox.Sandbox
	t   *testing.T
	key []byte // signs the links
	// c is a customer of this case alone, whose administrator has a link and
	// has not used it; v is that administrator's browser.
	c customer
	v *visitor
	// owned is a connected customer.
	owned customer
}

// forger has a customer of its own.
func (b *siege) forger(t *testing.T) forger {
	t.Helper()
	return forger{Sandbox: b.Sandbox, t: t, key: b.key, c: invited(t, b.Sandbox, tenant.Spec{People: 3}), v: visit(t, b.Sandbox), owned: b.owned}
}

// callback is an address of the callback, made up by whoever sends it.
func (f forger) callback(pairs ...string) string {
	return with(&url.URL{Scheme: "https", Host: strings.TrimPrefix(f.PublicURL, "https://"), Path: "/consent/callback"}, pairs...)
}

// resigned is a link of another expiry, signed with the right key or another.
// Its layout is documented where links are made.
func (f forger) resigned(link string, expires time.Time, key []byte) string {
	base, token, _ := strings.Cut(link, "/connect/")
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 13+32 {
		f.t.Fatalf("link %q: %v", link, err)
	}
	b = b[:len(b)-32]
	binary.BigEndian.PutUint64(b[5:], uint64(expires.Unix()))
	m := hmac.New(sha256.New, key)
	m.Write([]byte("rollcall/connect-link/1\x00"))
	m.Write(b)
	return base + "/connect/" + base64.RawURLEncoding.EncodeToString(m.Sum(b))
}

// request sends one request without a browser's help.
func (f forger) request(method, address string, header ...string) *browser.Page {
	f.t.Helper()
	return f.send(method, address, "", header...)
}

// button is what our own page's form sends.
const button = "may=yes"

// send is request with a form.
func (f forger) send(method, address, form string, header ...string) *browser.Page {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, address, strings.NewReader(form))
	if err != nil {
		f.t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := f.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	p, err := browser.Read(resp)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// answer does a request of the machine API and returns what came, decoded too.
func (f forger) answer(r *http.Request, status int, out any) (body string) {
	f.t.Helper()
	resp, err := f.Client().Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && out != nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil || resp.StatusCode != status {
		f.t.Fatalf("%s %s: %d, want %d: %s %v", r.Method, r.URL.Path, resp.StatusCode, status, b, err)
	}
	return string(b)
}

// forgery prepares a forged consent and returns the step that must be refused
// with a page of that status and heading.
type forgery struct {
	name    string
	status  int
	heading string
	prepare func(f forger) (act func() *browser.Page)
}

// repelled fails unless every forgery is refused with a page that says what
// happened and what to do, and leaves nothing stored and nothing queued.
func repelled(t *testing.T, forgeries []forgery) {
	b := siegeOf(t)
	for _, g := range forgeries {
		t.Run(g.name, func(t *testing.T) {
			f := b.forger(t)
			act := g.prepare(f)
			rows, n := stored(t, f.Sandbox), sent(t, f.Sandbox)
			p := act()
			unchanged(t, f.Sandbox, rows, n)
			shown(t, p, g.status, g.heading)
			for _, part := range []string{"What happened", "What to do"} {
				if !strings.Contains(p.Text, part) {
					t.Errorf("the page does not say %q: %s", part, p.Text)
				}
			}
			if p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("headers %v", p.Header)
			}
		})
	}
	// What all of that was about: the tenant still belongs to whom it did.
	if conn := b.owned.connection(t, b.Sandbox); conn.Status != "ok" || conn.Tenant != b.owned.tenant.ID {
		t.Errorf("the owner's connection is %+v", conn)
	}
	check(t, b.Sandbox, b.owned)
}
