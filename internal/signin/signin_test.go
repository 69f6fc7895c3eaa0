package signin

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	appID    = "11111111-2222-4333-8444-555555555555"
	tenant   = "aaaaaaaa-0000-4000-8000-000000000001"
	object   = "0a0a0a0a-0000-4000-8000-00000000000a"
	personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

var app = connection.App{ID: appID, Own: "rollcall-app-a"}

func proof(assertion string) url.Values {
	return url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}
}

var (
	keyOne = sync.OnceValue(newKey)
	keyTwo = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// authority is Entra's side of the wire.
type authority struct {
	*httptest.Server
	clock time.Time
	// keys are published; signer signs under the name kid.
	keys      map[string]published
	signer    *rsa.PrivateKey
	kid       string
	claims    map[string]any
	answer    http.HandlerFunc // of the token endpoint, if not the usual
	fetches   int
	discovery func(w http.ResponseWriter)
}

type published struct {
	key    *rsa.PrivateKey
	issuer string
}

func start(t *testing.T) (*authority, *Client) {
	a := &authority{clock: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), signer: keyOne(), kid: "one"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /organizations/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		a.fetches++
		if a.discovery != nil {
			a.discovery(w)
			return
		}
		fmt.Fprintf(w, `{"issuer":"%s/{tenantid}/v2.0","jwks_uri":"%[1]s/keys"}`, a.URL)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		list := []any{map[string]any{"kty": "unheard-of", "kid": "x"}}
		for kid, p := range a.keys {
			b, _ := jose.JSONWebKey{Key: &p.key.PublicKey, KeyID: kid, Use: "sig"}.MarshalJSON()
			var k map[string]any
			json.Unmarshal(b, &k)
			k["issuer"] = p.issuer
			list = append(list, k)
		}
		json.NewEncoder(w).Encode(map[string]any{"keys": list})
	})
	mux.HandleFunc("POST /organizations/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		if a.answer != nil {
			a.answer(w, r)
			return
		}
		for k, want := range map[string]string{
			"grant_type": "authorization_code", "code": "the-code", "client_id": appID, "code_verifier": "the-verifier",
			"redirect_uri": "https://sync.example/consent/callback", "client_assertion": "the-assertion",
			"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_secret": "",
		} {
			if r.PostFormValue(k) != want {
				t.Errorf("token request: %s is %q, want %q", k, r.PostFormValue(k), want)
			}
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("token request: has an Authorization header")
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": a.token()})
	})
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	a.keys = map[string]published{"one": {keyOne(), a.URL + "/{tenantid}/v2.0"}}
	a.claims = map[string]any{
		"iss": a.URL + "/" + tenant + "/v2.0", "aud": appID, "tid": tenant, "oid": object, "nonce": "the-nonce",
		"exp": a.clock.Add(time.Hour).Unix(), "wids": []string{"r1", "r2"},
	}
	return a, New(Config{
		Authority: a.URL + "/", Callback: "https://sync.example/consent/callback",
		Prove: func(_ context.Context, by connection.App, endpoint string) (url.Values, error) {
			if by != app || endpoint != a.URL+"/organizations/oauth2/v2.0/token" {
				t.Errorf("app %v proves itself at %s", by, endpoint)
			}
			return proof("the-assertion"), nil
		},
		Transport: a.Client().Transport, Now: func() time.Time { return a.clock },
	})
}

func (a *authority) token() string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: a.signer, KeyID: a.kid}}, nil)
	if err != nil {
		panic(err)
	}
	b, _ := json.Marshal(a.claims)
	j, err := s.Sign(b)
	if err != nil {
		panic(err)
	}
	raw, _ := j.CompactSerialize()
	return raw
}

func redeem(t *testing.T, c *Client) error {
	_, err := c.Redeem(t.Context(), app, "the-code", "the-verifier", "the-nonce")
	return err
}

func TestRedeem(t *testing.T) {
	_, c := start(t)
	id, err := c.Redeem(t.Context(), app, "the-code", "the-verifier", "the-nonce")
	if err != nil || id.Tenant != tenant || id.Object != object || !slices.Equal(id.Roles, []string{"r1", "r2"}) {
		t.Errorf("%+v, %v", id, err)
	}
}

// Each way in which a token can fail to prove its bearer, and each way in
// which Entra can fail to answer, has its kind.
func TestRedeemFails(t *testing.T) {
	answer := func(status int, body string) func(*authority) {
		return func(a *authority) {
			a.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				w.Write([]byte(body))
			}
		}
	}
	claim := func(k string, v any) func(*authority) { return func(a *authority) { a.claims[k] = v } }
	for name, tc := range map[string]struct {
		change func(a *authority)
		want   fault.Kind
		code   string
	}{
		"audience":                 {claim("aud", "other"), fault.Invalid, ""},
		"audience of two":          {claim("aud", []string{appID, "other"}), fault.Invalid, ""},
		"audience of none":         {claim("aud", []string{}), fault.Invalid, ""},
		"expiry":                   {claim("exp", 1), fault.Invalid, ""},
		"not yet":                  {func(a *authority) { a.claims["nbf"] = a.clock.Add(time.Hour).Unix() }, fault.Invalid, ""},
		"nonce":                    {claim("nonce", "other"), fault.Invalid, ""},
		"no object":                {claim("oid", ""), fault.Invalid, ""},
		"upper-case tid":           {claim("tid", strings.ToUpper(tenant)), fault.Invalid, ""},
		"path as tid":              {func(a *authority) { a.claims["tid"] = "x/y"; a.claims["iss"] = a.URL + "/x/y/v2.0" }, fault.Invalid, ""},
		"version 1 issuer":         {claim("iss", "https://sts.windows.net/"+tenant+"/"), fault.Invalid, ""},
		"issuer of another tenant": {func(a *authority) { a.claims["iss"] = a.URL + "/" + personal + "/v2.0" }, fault.Invalid, ""},
		"wrong key":                {func(a *authority) { a.signer = keyTwo() }, fault.Invalid, ""},
		"unknown key":              {func(a *authority) { a.kid = "two" }, fault.Invalid, ""},
		// Who holds the key of personal accounts is nobody here.
		"key of another issuer": {func(a *authority) {
			a.keys["msa"] = published{keyTwo(), a.URL + "/" + personal + "/v2.0"}
			a.signer, a.kid = keyTwo(), "msa"
		}, fault.Invalid, ""},
		"issuer of another tenant, key for all": {func(a *authority) {
			a.keys["one"] = published{keyOne(), ""}
			a.claims["iss"] = a.URL + "/" + personal + "/v2.0"
		}, fault.Invalid, ""},
		"endless discovery": {func(a *authority) {
			a.discovery = func(w http.ResponseWriter) {
				fmt.Fprintf(w, `{%s"issuer":"%s/{tenantid}/v2.0","jwks_uri":"%[2]s/keys"}`, strings.Repeat(" ", 1<<20), a.URL)
			}
		}, fault.Unknown, ""},
		"no id_token":  {answer(200, `{"access_token":"x","token_type":"Bearer"}`), fault.Invalid, ""},
		"other's code": {answer(400, `{"error":"invalid_grant","error_codes":[501481]}`), fault.Invalid, "AADSTS501481"},
		"used code":    {answer(400, `{"error":"invalid_grant","error_description":"Jane","error_codes":[54005]}`), fault.Expired, "AADSTS54005"},
		"our secret":   {answer(401, `{"error":"invalid_client","error_codes":[700027]}`), fault.Denied, "AADSTS700027"},
		"throttled":    {answer(429, `{"error":"temporarily_unavailable"}`), fault.Throttled, "temporarily_unavailable"},
		"down":         {answer(503, `<html>`), fault.Unknown, ""},
		"huge":         {answer(200, `{"access_token":"`+strings.Repeat("x", 2<<20)+`"}`), fault.Unknown, ""},
		"redirect":     {func(a *authority) { a.answer = http.RedirectHandler("/keys", http.StatusTemporaryRedirect).ServeHTTP }, fault.Unknown, ""},
		"no discovery": {func(a *authority) { a.discovery = func(w http.ResponseWriter) { w.WriteHeader(503) } }, fault.Unknown, ""},
		"one issuer for all": {func(a *authority) {
			a.discovery = func(w http.ResponseWriter) {
				fmt.Fprintf(w, `{"issuer":"%s/common/v2.0","jwks_uri":"%[1]s/keys"}`, a.URL)
			}
		}, fault.Unknown, ""},
		"keys without TLS": {func(a *authority) {
			a.discovery = func(w http.ResponseWriter) {
				fmt.Fprintf(w, `{"issuer":"%s/{tenantid}/v2.0","jwks_uri":"http://127.0.0.1/keys"}`, a.URL)
			}
		}, fault.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, c := start(t)
			tc.change(a)
			err := redeem(t, c)
			if err == nil || fault.Of(err).Kind != tc.want || fault.Of(err).Code != tc.code {
				t.Errorf("%v (%v, %q), want %v, %q", err, fault.Of(err).Kind, fault.Of(err).Code, tc.want, tc.code)
			}
			if err != nil && strings.Contains(err.Error(), "Jane") {
				t.Errorf("names somebody: %v", err)
			}
		})
	}
}

func TestProofFails(t *testing.T) {
	_, c := start(t)
	want := &fault.Error{Kind: fault.Throttled, Err: errors.New("no identity")}
	c.prove = func(context.Context, connection.App, string) (url.Values, error) { return nil, want }
	if err := redeem(t, c); !errors.Is(err, want) {
		t.Error(err)
	}
	for _, id := range []string{"", "x", strings.ToUpper("aaaaaaaa-2222-4333-8444-555555555555")} {
		if _, err := c.Redeem(t.Context(), connection.App{ID: id}, "the-code", "the-verifier", "the-nonce"); !fault.Is(err, fault.Invalid) {
			t.Errorf("app %q: %v", id, err)
		}
	}
}

// A proof that Entra does not take is followed by another, if there is one; a
// refusal of the code itself is not.
func TestAnotherProof(t *testing.T) {
	for name, tc := range map[string]struct {
		answer   string
		others   int // after the first
		accepted string
		tries    int
		told     string
		ok       bool
	}{
		"the one before":  {`{"error":"invalid_client","error_codes":[7000215]}`, 1, "1", 2, "AADSTS7000215", true},
		"none":            {`{"error":"invalid_client","error_codes":[700027]}`, 1, "none", 2, "AADSTS700027", false},
		"ever another":    {`{"error":"invalid_client","error_codes":[700027]}`, 99, "none", 3, "AADSTS700027", false},
		"the code's turn": {`{"error":"invalid_grant","error_codes":[54005]}`, 1, "none", 1, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, c := start(t)
			tries, told := 0, ""
			c.prove = func(context.Context, connection.App, string) (url.Values, error) {
				return proof(fmt.Sprint(tries)), nil
			}
			c.refused = func(_ context.Context, by connection.App, proved url.Values, code string) bool {
				if by != app || proved.Get("client_assertion") != fmt.Sprint(tries-1) {
					t.Errorf("%v of %v was refused", proved, by)
				}
				told = code
				return tries <= tc.others
			}
			a.answer = func(w http.ResponseWriter, r *http.Request) {
				tries++
				w.Header().Set("Content-Type", "application/json")
				if r.PostFormValue("client_assertion") != tc.accepted {
					w.WriteHeader(http.StatusUnauthorized)
					fmt.Fprint(w, tc.answer)
					return
				}
				json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": a.token()})
			}
			if err := redeem(t, c); (err == nil) != tc.ok || tries != tc.tries || told != tc.told {
				t.Errorf("%d tries, told %q, %v", tries, told, err)
			}
		})
	}
}

// A client secret goes into the form, and nothing else with it.
func TestSecretProof(t *testing.T) {
	a, c := start(t)
	c.prove = func(context.Context, connection.App, string) (url.Values, error) {
		return url.Values{"client_secret": {"s~&=%"}}, nil
	}
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_secret") != "s~&=%" || r.PostFormValue("client_assertion") != "" || r.PostFormValue("client_id") != appID || r.URL.RawQuery != "" {
			t.Errorf("form %v", r.PostForm)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": a.token()})
	}
	if err := redeem(t, c); err != nil {
		t.Error(err)
	}
}

func TestAuthURL(t *testing.T) {
	_, c := start(t)
	u, err := url.Parse(c.AuthURL(app, "the-state", "the-nonce", "the-verifier"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("the-verifier"))
	for k, want := range map[string]string{
		"client_id": appID, "response_type": "code", "response_mode": "query", "scope": "openid profile", "state": "the-state", "nonce": "the-nonce",
		"redirect_uri": "https://sync.example/consent/callback", "code_challenge_method": "S256", "code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]),
	} {
		if got := u.Query().Get(k); got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
	if other := c.AuthURL(connection.App{ID: "other"}, "", "", ""); !strings.Contains(other, "client_id=other") {
		t.Error(other)
	}
}

// Whatever a token says, it is no identity without a key.
func FuzzToken(f *testing.F) {
	now := func() time.Time { return time.Unix(1772452800, 0) }
	one := keyOne()
	c := New(Config{Authority: "https://login.example", Now: now})
	c.keys.list = listOf(one, now())
	c.http.Transport = nil // nothing may be fetched: the list is fresh
	for _, s := range []string{"", ".", "..", "a.b.c", `{"payload":"e30","signatures":[]}`, "eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.e30.", "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e30.AAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := c.identify(t.Context(), app, s, "n"); err == nil || id.Tenant != "" {
			t.Errorf("%q: %+v", s, id)
		}
	})
}

// Of whatever is signed with a good key, only what says all of who, for whom and
// when is an identity.
func FuzzClaims(f *testing.F) {
	at := time.Unix(1772452800, 0)
	c := New(Config{Authority: "https://login.example", Now: func() time.Time { return at }})
	one := keyOne()
	c.keys.list = listOf(one, at)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: one, KeyID: "one"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	good := `{"iss":"https://login.example/` + tenant + `/v2.0","tid":"` + tenant + `","oid":"` + object + `","aud":"` + appID + `","nonce":"n","exp":1772456400}`
	f.Add([]byte(good))
	for _, change := range [][2]string{
		{`"exp":1772456400`, `"exp":1e99`}, {`"exp":1772456400`, `"exp":"1772456400"`}, {`"aud":"` + appID + `"`, `"aud":["` + appID + `"]`}, {`"nonce":"n"`, `"nonce":["n"]`},
		{`"tid":"` + tenant + `"`, `"tid":"` + personal + `"`}, {`"oid"`, `"OID"`}, {`{`, `{"aud":"x",`}, {`}`, `,"wids":["r"]}`}, {`}`, `,"wids":"r"}`}, {`"n"`, `""`},
	} {
		f.Add([]byte(strings.Replace(good, change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		j, err := signer.Sign(payload)
		if err != nil {
			return
		}
		raw, err := j.CompactSerialize()
		if err != nil {
			return
		}
		id, err := c.identify(t.Context(), app, raw, "n")
		if err != nil {
			if id.Tenant != "" || id.Object != "" || id.Roles != nil || !fault.Is(err, fault.Invalid) {
				t.Errorf("%+v beside %v", id, err)
			}
			return
		}
		s := string(payload)
		for _, part := range []string{id.Tenant, id.Object, appID} {
			if len(part) != 36 || !strings.Contains(s, part) {
				t.Errorf("%+v of %s", id, s)
			}
		}
	})
}
