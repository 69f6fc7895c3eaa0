package graph

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fault"
)

// refusal turns a failed call into a fault. Messages of Graph are left out,
// unless the call asks for them: they may name people.
func refusal(err error, seen answer, q call) error {
	var known *fault.Error
	if errors.As(err, &known) { // the credential's, or a body too large
		return known
	}
	if seen.status == 0 {
		var ue *url.Error
		if errors.As(err, &ue) { // net/http tells the link, which is not for logs
			err = ue.Err
		}
		return fault.New(fault.Unknown, "no answer: %w", err)
	}
	code, message := graphCode(err)
	e := judge(seen.status, seen.header, code, q.needs)
	if q.told && message != "" {
		e.Err = fmt.Errorf("%w: %.300s", e.Err, message)
	}
	if q.given && e.Kind == fault.Invalid {
		return &fault.Error{Kind: fault.Expired, Code: e.Code, Err: e.Err}
	}
	return e
}

// judge classifies a status that is no success.
func judge(status int, header http.Header, code, needs string) *fault.Error {
	e := &fault.Error{Code: code, Err: fmt.Errorf("status %d %s", status, code)}
	switch status {
	case http.StatusTooManyRequests:
		throttle(e, header)
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if retryAfter(header, clockOf(header)) > 0 || wideScope(header) != "" {
			throttle(e, header)
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
		// Expired on the way, or the tenant just withdrew: the next token tells,
		// unless Graph says that it does not find the token's app in the tenant
		// (inferred: the code is not documented, and reported where consent is
		// missing, as in microsoftgraph/msgraph-sdk-php issue 230).
		if strings.EqualFold(code, "Authorization_IdentityNotFound") {
			e.Kind, e.Class = fault.Denied, fault.Disconnected
			e.Remedy = "Microsoft does not find Rollcall's app in this customer's tenant any more. Send the customer's administrator a new link and ask them to consent again."
		}
	case http.StatusForbidden:
		e.Kind = fault.Denied
		e.Remedy = fmt.Sprintf("The customer's tenant does not grant Rollcall what this needs (%s). Send the administrator the link and ask them to consent again.", needs)
	case http.StatusNotFound:
		e.Kind = fault.NotFound
	}
	return e
}

// throttle makes e the demand to wait that the header tells.
func throttle(e *fault.Error, header http.Header) {
	e.Kind, e.After, e.Scope = fault.Throttled, retryAfter(header, clockOf(header)), wideScope(header)
	if e.Scope != "" && e.After == 0 {
		e.After = wideAfter
	}
}

// wideAfter is the wait of a whole app where Microsoft names none: the window
// of its limit. Source: Microsoft Graph documentation, "Throttling limits".
const wideAfter = 20 * time.Second

// maxAfter bounds what a server can make us wait; Graph's own waits are
// minutes.
const maxAfter = 6 * time.Hour

// clockOf is the time by the clock of whoever wrote the header, by which its
// dates count: ours may be off.
func clockOf(h http.Header) time.Time {
	if now, err := http.ParseTime(h.Get("Date")); err == nil {
		return now
	}
	return time.Now()
}

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
