package consent_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// entra speaks as much of Microsoft's sign-in as a redeemed code needs.
type entra struct {
	*httptest.Server
	key *rsa.PrivateKey
	now func() time.Time

	mu    sync.Mutex
	codes map[string]grant
}

// grant is what a code is worth.
type grant struct {
	app, challenge string
	claims         map[string]any
	// forge, if set, makes the token instead of the authority's key.
	forge func(e *entra, claims []byte) string
}

func newEntra(t *testing.T, now func() time.Time) *entra {
	key := authorityKey()
	e := &entra{key: key, now: now, codes: map[string]grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /organizations/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": e.URL + "/{tenantid}/v2.0", "jwks_uri": e.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		b, _ := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "k1", Use: "sig"}.MarshalJSON()
		var k map[string]any
		json.Unmarshal(b, &k)
		k["issuer"] = e.URL + "/{tenantid}/v2.0"
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{k}})
	})
	mux.HandleFunc("POST /organizations/oauth2/v2.0/token", e.token)
	e.Server = httptest.NewTLSServer(mux)
	t.Cleanup(e.Close)
	return e
}

func (e *entra) token(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	g, ok := e.codes[r.FormValue("code")]
	delete(e.codes, r.FormValue("code"))
	e.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	w.Header().Set("Content-Type", "application/json")
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge ||
		r.FormValue("client_id") != g.app || r.FormValue("client_assertion") != assertionOf(g.app) {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant","error_codes":[70008]}`))
		return
	}
	claims, _ := json.Marshal(g.claims)
	raw := e.sign(claims)
	if g.forge != nil {
		raw = g.forge(e, claims)
	}
	json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": raw})
}

// assertionOf is by what an app proves itself: the vendor's by its credential,
// contoso's by its secret.
func assertionOf(app string) string {
	if app == contosoApp {
		return "assertion of " + app + ownSecret
	}
	return "assertion of " + app
}

func (e *entra) sign(claims []byte) string {
	return signed(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: e.key, KeyID: "k1"}}, claims)
}

func signed(k jose.SigningKey, claims []byte) string {
	s, err := jose.NewSigner(k, nil)
	if err != nil {
		panic(err)
	}
	j, err := s.Sign(claims)
	if err != nil {
		panic(err)
	}
	raw, _ := j.CompactSerialize()
	return raw
}

// unsigned is a token with alg none.
func unsigned(_ *entra, claims []byte) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(`{"alg":"none","typ":"JWT","kid":"k1"}`)) + "." + b(claims) + "."
}

// byModulus is a token with alg HS256 whose secret is the public key.
func byModulus(e *entra, claims []byte) string {
	return signed(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: e.key.N.Bytes(), KeyID: "k1"}}, claims)
}

// byStranger is a token signed by a key that the authority never published.
func byStranger(_ *entra, claims []byte) string {
	return signed(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: newKey(), KeyID: "k1"}}, claims)
}

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// authorityKey is made once: it takes longer than all the rest.
var authorityKey = sync.OnceValue(newKey)

// signIn lets somebody sign in for an authorize address and returns the code.
func (e *entra) signIn(t *testing.T, authorize string, who user, change func(*grant)) (state, code string) {
	t.Helper()
	u, err := url.Parse(authorize)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	want := map[string]string{
		"response_type": "code", "response_mode": "query", "prompt": "select_account",
		"scope": "openid profile", "code_challenge_method": "S256",
	}
	for k, v := range want {
		if q.Get(k) != v {
			t.Fatalf("authorize: %s is %q, want %q", k, q.Get(k), v)
		}
	}
	if !strings.HasPrefix(authorize, e.URL+"/organizations/oauth2/v2.0/authorize?") || q.Get("state") == "" || q.Get("nonce") == "" {
		t.Fatalf("authorize: %s", authorize)
	}
	app := q.Get("client_id")
	g := grant{app: app, challenge: q.Get("code_challenge"), claims: map[string]any{
		"iss": e.URL + "/" + who.tenant + "/v2.0", "aud": app, "tid": who.tenant, "oid": who.object, "sub": "s",
		"nonce": q.Get("nonce"), "wids": who.roles, "ver": "2.0",
		"iat": e.now().Unix(), "nbf": e.now().Unix(), "exp": e.now().Add(time.Hour).Unix(),
	}}
	if change != nil {
		change(&g)
	}
	code = rand.Text()
	e.mu.Lock()
	e.codes[code] = g
	e.mu.Unlock()
	return q.Get("state"), code
}

type user struct {
	tenant, object string
	roles          []string
}
