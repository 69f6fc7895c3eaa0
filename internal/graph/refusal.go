package graph

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fault"
)

// refusal turns a failed request into a fault. Messages of Graph are left
// out: they may name people.
func refusal(err error, seen answer) error {
	var known *fault.Error
	if errors.As(err, &known) { // the credential's, or a body too large
		return known
	}
	if seen.status == 0 {
		return fault.New(fault.Unknown, "no answer: %w", err)
	}
	code := graphCode(err)
	e := &fault.Error{Code: code, Err: fmt.Errorf("status %d %s", seen.status, code)}
	switch seen.status {
	case http.StatusTooManyRequests:
		e.Kind = fault.Throttled
		e.After = retryAfter(seen.header, time.Now())
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.After = retryAfter(seen.header, time.Now())
		if e.After > 0 {
			e.Kind = fault.Throttled
		}
	case http.StatusGone:
		e.Kind = fault.Expired
	case http.StatusBadRequest:
		// Codes of a forgotten delta or page token, which Graph sends as 400
		// as well as 410. Sources: Microsoft Graph documentation, "Delta query
		// overview" and "Error responses"; devblogs.microsoft.com/microsoft365dev.
		switch strings.ToLower(code) {
		case "syncstatenotfound", "resyncrequired", "directory_expiredpagetoken", "syncstateinvalid":
			e.Kind = fault.Expired
		default:
			e.Kind = fault.Invalid
			e.Remedy = "Microsoft Graph does not understand Rollcall's request. Please report this with the run's ID."
		}
	case http.StatusUnauthorized:
		// Expired on the way, or the tenant just withdrew: the next token tells.
	case http.StatusForbidden:
		e.Kind = fault.Denied
		e.Remedy = "The customer's tenant does not grant Rollcall the permissions it needs (User.Read.All, Organization.Read.All). Send the administrator the link and ask them to consent again."
	case http.StatusNotFound:
		e.Kind = fault.NotFound
	}
	return e
}

// maxAfter bounds what a server can make us wait; Graph's own waits are
// minutes.
const maxAfter = 6 * time.Hour

// retryAfter reads the header in each of its forms: seconds, seconds with a
// fraction, or a date; 0 if there is none. A fraction is rounded up.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) { // negative and NaN too
			return 0
		}
		if s > maxAfter.Seconds() {
			return maxAfter
		}
		return time.Duration(s*float64(time.Second)).Truncate(time.Millisecond) + time.Millisecond
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), maxAfter)
	}
	return 0
}
