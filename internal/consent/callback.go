package consent

import (
	"net/url"
	"regexp"

	"rollcall/internal/fault"
)

// callback is what a redirect from Microsoft says. All of it is hearsay.
type callback struct {
	State, Code               string
	Tenant, AdminConsent      string
	Error, errorDescription   string
	hasTenant, hasAdminAnswer bool
}

// maxValue is the most bytes of one value. Entra's authorization codes have
// about 1,500 characters, its error descriptions up to about 2,000 (inferred).
const maxValue = 8 << 10

// parseCallback reads the redirect's query. A key that repeats is refused: two
// readers could believe different ones.
func parseCallback(q url.Values) (callback, error) {
	var cb callback
	for key, to := range map[string]*string{
		"state": &cb.State, "code": &cb.Code, "tenant": &cb.Tenant, "admin_consent": &cb.AdminConsent,
		"error": &cb.Error, "error_description": &cb.errorDescription,
	} {
		switch vs := q[key]; {
		case len(vs) > 1:
			return callback{}, fault.New(fault.Invalid, "callback: %d values of %s", len(vs), key)
		case len(vs) == 1 && len(vs[0]) > maxValue:
			return callback{}, fault.New(fault.Invalid, "callback: %s of %d bytes", key, len(vs[0]))
		case len(vs) == 1:
			*to = vs[0]
		}
	}
	cb.hasTenant, cb.hasAdminAnswer = q.Has("tenant"), q.Has("admin_consent")
	return cb, nil
}

// fits reports whether the redirect can be the answer to the leg. An error
// alone can answer either.
func (cb callback) fits(l leg) bool {
	if l == legSignIn {
		return !cb.hasTenant && !cb.hasAdminAnswer && (cb.Code != "" || cb.Error != "")
	}
	return cb.Code == "" && (cb.hasAdminAnswer || cb.Error != "")
}

var (
	entraCode = regexp.MustCompile(`\bAADSTS\d{2,9}\b`)
	errorName = regexp.MustCompile(`^[a-z_]{1,64}$`)
)

// code is Microsoft's name of an error: the most exact one that has the form
// of a name. The description is free text from an address and goes nowhere.
func (cb callback) code() string {
	if cb.Error == "" {
		return ""
	}
	if c := entraCode.FindString(cb.errorDescription); c != "" {
		return c
	}
	if errorName.MatchString(cb.Error) {
		return cb.Error
	}
	return ""
}
