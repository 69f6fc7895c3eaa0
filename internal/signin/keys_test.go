package signin

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/internal/fault"
)

// listOf is the list of one key that signs for all.
func listOf(k *rsa.PrivateKey, at time.Time) keyList {
	return keyList{
		"https://login.example/{tenantid}/v2.0",
		[]signingKey{{JSONWebKey: jose.JSONWebKey{Key: &k.PublicKey, KeyID: "one"}}}, at,
	}
}

// Keys are kept, fetched anew when one is unknown or the list is old, and
// never in a row.
func TestKeyRotation(t *testing.T) {
	a, c := start(t)
	step := func(name string, after time.Duration, ok bool, fetches int) {
		t.Helper()
		a.clock = a.clock.Add(after)
		if err := redeem(t, c); (err == nil) != ok || a.fetches != fetches {
			t.Errorf("%s: %v, %d fetches, want %d", name, err, a.fetches, fetches)
		}
	}
	a.claims["exp"] = a.clock.Add(24 * time.Hour).Unix()
	step("first", 0, true, 1)
	step("kept", time.Minute, true, 1)
	a.signer, a.kid = keyTwo(), "two"
	step("unknown", 0, false, 2)
	a.keys["two"] = published{keyTwo(), a.URL + "/{tenantid}/v2.0"}
	step("in a row", time.Second, false, 2)
	step("rotated", 30*time.Second, true, 3)
	step("old", 12*time.Hour+time.Second, true, 4)
	delete(a.keys, "two")
	a.keys["one"] = published{keyOne(), ""} // a key without issuer signs for all
	a.signer, a.kid = keyOne(), "one"
	step("withdrawn", 13*time.Hour, false, 5) // the token itself has expired too
	a.claims["exp"] = a.clock.Add(time.Hour).Unix()
	step("no issuer", 0, true, 5)
}

// An old key list serves until its very end if no newer one can be had, and
// nobody asks for one in a row.
func TestKeysServeOn(t *testing.T) {
	a, c := start(t)
	begin := a.clock
	at := func(age time.Duration, ok bool, fetches int) {
		t.Helper()
		a.clock = begin.Add(age)
		a.claims["exp"] = a.clock.Add(time.Hour).Unix()
		err := redeem(t, c)
		if (err == nil) != ok || !ok && !fault.Is(err, fault.Unknown) || a.fetches != fetches {
			t.Errorf("%s: %v, %d fetches, want %d", age, err, a.fetches, fetches)
		}
	}
	at(0, true, 1)
	a.discovery = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	at(12*time.Hour, true, 1)
	at(12*time.Hour+time.Second, true, 2)
	at(12*time.Hour+30*time.Second, true, 2)
	at(12*time.Hour+32*time.Second, true, 3)
	a.signer, a.kid = keyTwo(), "two"
	at(13*time.Hour, false, 4) // unknown, which is Microsoft's trouble and no fraud
	a.signer, a.kid = keyOne(), "one"
	at(24*time.Hour, true, 5)
	at(24*time.Hour+time.Second, false, 6)
	a.discovery = nil
	at(24*time.Hour+2*time.Second, true, 7)
}

// While one waits for newer keys, the others sign in with those that are known.
func TestKeysKeepNobodyWaiting(t *testing.T) {
	a, c := start(t)
	if err := redeem(t, c); err != nil {
		t.Fatal(err)
	}
	a.clock = a.clock.Add(13 * time.Hour)
	a.claims["exp"] = a.clock.Add(time.Hour).Unix()
	arrived, leave, first := make(chan struct{}), make(chan struct{}), make(chan error)
	a.discovery = func(w http.ResponseWriter) {
		close(arrived)
		<-leave
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	go func() { first <- redeem(t, c) }()
	<-arrived
	if err := redeem(t, c); err != nil {
		t.Error(err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// A key list holds what can sign and nothing else.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `[]`, `{"kty":"oct","k":"AAAA","kid":"x"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"x","use":"enc"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"x","issuer":7}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range parseKeys([]json.RawMessage{b}) {
			if !k.Valid() || !k.IsPublic() || k.Use == "enc" {
				t.Errorf("%s: %+v", b, k)
			}
		}
	})
}
