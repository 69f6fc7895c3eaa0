package consent_test

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
)

var (
	noon    = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	oldKey  = []byte(strings.Repeat("o", 32))
	nextKey = []byte(strings.Repeat("n", 32))
)

func links(t testing.TB, keys ...[]byte) consent.Links {
	t.Helper()
	l, err := consent.NewLinks("https://sync.example/", keys...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tokenOf(t testing.TB, url string) string {
	t.Helper()
	token, ok := strings.CutPrefix(url, "https://sync.example/connect/")
	if !ok || !regexp.MustCompile(`^[A-Za-z0-9_-]{60,128}$`).MatchString(token) {
		t.Fatalf("link %q", url)
	}
	return token
}

func TestLink(t *testing.T) {
	c := connection.Connection{ID: "abcdefghijklmnopqrstuvwxyz", Link: 7, LinkExpires: noon}
	token := tokenOf(t, links(t, oldKey).URL(c))
	last := noon.Add(-time.Second)

	for name, l := range map[string]consent.Links{"same key": links(t, oldKey), "rotated": links(t, nextKey, oldKey)} {
		id, generation, err := l.Parse(token, last)
		if id != c.ID || generation != 7 || err != nil {
			t.Errorf("%s: %q, %d, %v", name, id, generation, err)
		}
	}
	if tokenOf(t, links(t, nextKey, oldKey).URL(c)) == token {
		t.Error("the first key does not sign")
	}
	if _, _, err := links(t, nextKey).Parse(token, last); !fault.Is(err, fault.NotFound) {
		t.Errorf("retired key: %v", err)
	}
	if id, _, err := links(t, oldKey).Parse(token, noon); !fault.Is(err, fault.Expired) || id != c.ID {
		t.Errorf("expired: %q, %v", id, err)
	}
	for i := range token { // every character counts
		forged := []byte(token)
		forged[i] ^= 1
		if id, _, err := links(t, oldKey).Parse(string(forged), last); !fault.Is(err, fault.NotFound) || id != "" {
			t.Fatalf("character %d changed: %q, %v", i, id, err)
		}
	}
	// The last character's two lowest bits mean nothing; they must be zero.
	spelled := []byte(token)
	spelled[len(spelled)-1]++
	if _, _, err := links(t, oldKey).Parse(string(spelled), last); !fault.Is(err, fault.NotFound) {
		t.Errorf("another spelling: %v", err)
	}
	for _, keys := range [][][]byte{nil, {oldKey, []byte("short")}} {
		if _, err := consent.NewLinks("https://sync.example", keys...); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d keys: %v", len(keys), err)
		}
	}
}

// No token but ours is accepted, and ours in one spelling only.
func FuzzLink(f *testing.F) {
	l := links(f, oldKey)
	ours := tokenOf(f, l.URL(connection.Connection{ID: "abcdefghijklmnopqrstuvwxyz", Link: 1, LinkExpires: noon}))
	for _, s := range []string{ours, "", ".", "..", "%2e", ours + "=", ours[:60], strings.Repeat("A", 4096), base64.RawURLEncoding.EncodeToString(make([]byte, 46))} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, _, err := l.Parse(s, noon.Add(-time.Hour))
		if (err == nil) != (s == ours) || (id != "") != (s == ours) {
			t.Errorf("%q: %q, %v", s, id, err)
		}
	})
}
