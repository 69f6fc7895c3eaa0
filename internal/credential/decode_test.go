package credential

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func FuzzDecodeSTS(f *testing.F) {
	for _, s := range []string{`{"error_codes":[700016]}`, `{"error_codes":[]}`, `{}`, ``, `[]`, `{"error_codes":["700016"]}`, `{"error_codes":[1,2]}`, `<html>`, `{"error_codes":[1e3]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, got := decodeSTS(b)
		var body struct {
			Codes []json.Number `json:"error_codes"`
		}
		if err := json.Unmarshal(b, &body); (err != nil || len(body.Codes) == 0) && got != 0 {
			t.Errorf("code %d out of %q", got, b)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "0", "7", "2.128", "-5", "NaN", "Inf", "99999999999999999999", "soon", now.AddDate(900, 0, 0).Format(http.TimeFormat)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := retryAfter(s, now); d < 0 || d > 6*time.Hour {
			t.Errorf("%q waits %s", s, d)
		}
	})
}

func TestDecodeSTS(t *testing.T) {
	for s, want := range map[string]int{
		`{"error":"invalid_client","error_codes":[7000222],"error_description":"AADSTS700016: not this one"}`: 7000222,
		`{"error_codes":[53003,700016]}`: 53003, `{"error_description":"AADSTS700016"}`: 0, `{"error_codes":"700016"}`: 0,
	} {
		if _, got := decodeSTS([]byte(s)); got != want {
			t.Errorf("%s: %d, want %d", s, got, want)
		}
	}
}
