package consent

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whatever an address says, only names leave it, and an answer fits one leg
// unless it is a bare error.
func FuzzCallback(f *testing.F) {
	for _, s := range []string{
		"code=c&state=s", "admin_consent=True&tenant=t&state=s", "error=access_denied&state=s&admin_consent=True",
		"state=a&state=b", "error=x&error_description=AADSTS65004%3A+no", "error=%3Cb%3E&error_description=AADSTS1<", "%zz",
	} {
		f.Add(s)
	}
	name := regexp.MustCompile(`^([a-z_]*|AADSTS[0-9]+)$`)
	f.Fuzz(func(t *testing.T, s string) {
		q, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		cb, err := parseCallback(q)
		if err != nil {
			return
		}
		if !name.MatchString(cb.code()) {
			t.Errorf("%q: code %q", s, cb.code())
		}
		if cb.Error == "" && cb.fits(legSignIn) && cb.fits(legConsent) {
			t.Errorf("%q fits both legs", s)
		}
		for k, vs := range q {
			if len(vs) > 1 && strings.Contains(" state code tenant admin_consent error error_description ", " "+k+" ") {
				t.Errorf("%q: accepted", s)
			}
		}
	})
}

// A stored state is whole or refused.
func FuzzState(f *testing.F) {
	for _, s := range []string{
		`{"v":2,"profile":"base","app":"a","leg":"sign-in","browser":"b","connection":"c","nonce":"n","verifier":"v"}`,
		`{"v":2,"profile":"base","app":"a","leg":"consent","browser":"b","connection":"c","tenant":"aaaaaaaa-0000-4000-8000-000000000001","object":"aaaaaaaa-0000-4000-8000-000000000002"}`,
		`{"v":9,"leg":"sign-in","browser":"b","connection":"c","nonce":"n","verifier":"v"}`, `{"v":2,"leg":"sign-in","browser":"b","connection":"c","nonce":"n","verifier":"v"}`, `{}`, `[]`, ``, `{"v":2,"profile":"base","app":"a","leg":"consent","browser":"b","connection":"c"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			if s != (state{}) {
				t.Errorf("%q: %+v with an error", b, s)
			}
			return
		}
		signIn := s.Leg == legSignIn && s.Nonce != "" && s.Verifier != ""
		consent := s.Leg == legConsent && len(s.Tenant) == 36 && len(s.Object) == 36
		if s.Browser == "" || s.Connection == "" || s.Profile == "" || s.App == "" || !signIn && !consent {
			t.Errorf("%q: accepted %+v", b, s)
		}
	})
}

// A token's roles are read or not; whatever it is, nothing else happens.
func FuzzTokenRoles(f *testing.F) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for _, s := range []string{token(`{"roles":["User.Read.All","x"]}`), token(`{"roles":"x"}`), token(`{}`), token(`[`), "", "..", "a.b", "a.!.c", strings.Repeat(".", 9)} {
		f.Add(s)
	}
	if got := TokenRoles(token(`{"aud":"g","roles":["User.Read.All","Reports.Read.All"]}`)); !slices.Equal(got, []string{"User.Read.All", "Reports.Read.All"}) {
		f.Errorf("roles %q", got)
	}
	for _, s := range []string{token(`{"roles":["A"]}`) + ".x", token(`{"roles":[1]}`), token(`{"roles":["` + strings.Repeat("A", 128<<10) + `"]}`)} {
		if got := TokenRoles(s); got != nil {
			f.Errorf("roles %.80q", got)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if roles := TokenRoles(s); len(roles) > 0 && strings.Count(s, ".") != 2 {
			t.Errorf("%q: roles %q", s, roles)
		}
	})
}

func TestValidGUID(t *testing.T) {
	for s, want := range map[string]bool{
		"9188040d-6c67-4c5b-b112-36a304b66dad": true, "9188040D-6C67-4C5B-B112-36A304B66DAD": false,
		"9188040d-6c67-4c5b-b112-36a304b66da": false, "9188040d6-c67-4c5b-b112-36a304b66dad": false, "": false,
		"../../../../../../../../../../../../": false,
	} {
		if ValidGUID(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
