package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/fault"
)

// Problem is every error of the API: RFC 9457, with the extensions remedy
// and errors.
type Problem struct {
	Type   string       `json:"type" doc:"Names the kind of problem; stable." example:"urn:rollcall:problem:not_found"`
	Title  string       `json:"title" doc:"The kind of problem in words." example:"Not found"`
	Status int          `json:"status" doc:"The HTTP status." example:"404"`
	Detail string       `json:"detail" doc:"What happened this time." example:"There is no connection with this ID."`
	Remedy string       `json:"remedy" doc:"What to do next." example:"Check the ID; GET /v1/connections lists all."`
	Errors []FieldError `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, field by field; at most 20."`

	after    time.Duration // for Retry-After; 0 for none
	location string        // of the run that stands in the way; empty for none
}

// FieldError is one mistake in a request.
type FieldError struct {
	Field   string `json:"field" doc:"Where: path, query, header or body, then the name." example:"body.company"`
	Message string `json:"message" doc:"What was expected there." example:"expected length >= 1"`
}

// maxErrors bounds the mistakes listed: a body of 64 KiB can hold thousands.
const maxErrors = 20

func (p *Problem) Error() string { return p.Detail }

// typePrefix comes before the code in the type of a [Problem].
const typePrefix = "urn:rollcall:problem:"

func (p *Problem) code() string { return strings.TrimPrefix(p.Type, typePrefix) }

// GetStatus, GetHeaders and ContentType are how huma answers an error.
func (p *Problem) GetStatus() int { return p.Status }

func (p *Problem) ContentType(string) string { return "application/problem+json" }

func (p *Problem) GetHeaders() http.Header {
	if p.after <= 0 {
		return nil
	}
	// Whole seconds, rounded up: a client that comes back on time must not
	// be early. Source: RFC 9110, 10.2.3.
	h := http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(p.after.Seconds())))}}
	if p.location != "" {
		h.Set("Location", p.location)
	}
	return h
}

// The codes end the type of a [Problem]. They are part of the API.
const (
	codeMalformed    = "malformed_request"
	codeContinuation = "invalid_continuation"
	codePosition     = "invalid_position"
	codeRejected     = "rejected"
	codeForbidden    = "forbidden"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeTimeout      = "request_timeout"
	codeNotConnected = "not_connected"
	codeConnected    = "already_connected"
	codeConflict     = "conflict"
	codeDecided      = "plan_decided"
	codeInvited      = "company_has_connection"
	codePaused       = "paused"
	codeOffboarded   = "offboarded"
	codeTransfer     = "transfer_refused"
	codePurging      = "purging"
	codeVerifying    = "verifying"
	codeGone         = "changes_expired"
	codeTooLarge     = "body_too_large"
	codeMediaType    = "unsupported_media_type"
	codeValidation   = "validation"
	codeThrottled    = "throttled"
	codeUnavailable  = "unavailable"
)

// kinds holds what is the same in all problems of a code.
var kinds = map[string]struct {
	status        int
	title, remedy string
}{
	codeMalformed:    {400, "The request cannot be read", "Send one JSON object as /v1/openapi.json describes it."},
	codeContinuation: {400, "Not a continuation of this list", "Send the continuation exactly as the page before gave it, to the same list; or leave it out to begin anew."},
	codePosition:     {400, "No such position in the changes", "Send the last of an earlier answer of the same connection, or 0 to begin anew."},
	codeRejected:     {400, "The request cannot be accepted", "Compare the request with /v1/openapi.json."},
	codeForbidden:    {403, "Not allowed", "The service lacks a permission that this needs; its operator finds the cause in the log."},
	codeNotFound:     {404, "Not found", "Check the path and the IDs in it; GET /v1/connections lists all connections, /v1/openapi.json all routes."},
	codeMethod:       {405, "Method not allowed", "Use one of the methods in the Allow header."},
	codeTimeout:      {408, "The body came too slowly", "Send the request again."},
	codeNotConnected: {409, "Not connected", "Have the company's administrator open the secure link and consent; POST /v1/connections/{id}/link gives a new one."},
	codeConnected:    {409, "Already connected", "Nothing needs to be done: links and approvals serve only until a tenant is connected."},
	codeConflict:     {409, "Changed by somebody else", "Read the connection again, and repeat the request if it is still wanted."},
	codeDecided:      {409, "The plan does not wait", "Read GET …/removals for the plan that waits now, and the connection's runs for what became of this one."},
	codeInvited:      {409, "The company has a connection", "Use the connection that detail names, or send the request with ?again=true to make another one."},
	codePaused:       {409, "Paused", "POST /v1/connections/{id}/resume lets syncs run again."},
	codeOffboarded:   {409, "The connection has ended", "Invite the company anew by POST /v1/connections. What is stored can be read until it is purged, which DELETE /v1/connections/{id}?data=purge does."},
	codeTransfer:     {409, "The tenant cannot be transferred", "Read both connections: this one has to own its tenant, and the other has to be waiting for its administrator, without a tenant and meant for no other."},
	codePurging:      {409, "The data is purged", "Read the connection: offboarding.purged says when nothing was left."},
	codeVerifying:    {409, "Consent is being verified", "Wait until the connection's status is no longer consenting, half an hour at most, then send the request again."},
	codeGone:         {410, "Changes no longer kept", "Read all pages of GET …/people and of the other lists anew, then go on from the lastChange of the first page of people."},
	codeTooLarge:     {413, "Body too large", "Send at most 65536 bytes."},
	codeMediaType:    {415, "Unsupported media type", "Send the body as JSON in UTF-8 with Content-Type: application/json, not compressed."},
	codeValidation:   {422, "Not valid", "Correct what errors lists and send the request again."},
	codeThrottled:    {429, "Too soon", "Wait for the seconds in Retry-After, then send the request again."},
	codeUnavailable:  {503, "Not available for now", "Wait for the seconds in Retry-After, then send the request again; if it persists, the service's log has the cause."},
}

// problem returns a problem of a code with what happened this time.
func problem(code, format string, args ...any) *Problem {
	k := kinds[code]
	return &Problem{
		Type: typePrefix + code, Title: k.title, Status: k.status,
		Detail: fmt.Sprintf(format, args...), Remedy: k.remedy,
	}
}

func (p *Problem) withRemedy(s string) *Problem {
	if s != "" {
		p.Remedy = s
	}
	return p
}

// at names the field that a problem is about.
func (p *Problem) at(field, message string) *Problem {
	p.Errors = append(p.Errors, FieldError{clip(field), message})
	return p
}

// refusal turns what huma refuses into a problem. Values are never echoed:
// what a client sent by mistake may be a secret.
func refusal(status int, _ string, errs ...error) huma.StatusError {
	var p *Problem
	switch status {
	case http.StatusBadRequest:
		p = problem(codeMalformed, "The body is missing or is not the JSON that this route takes.")
	case http.StatusRequestTimeout:
		p = problem(codeTimeout, "The body did not arrive within %d seconds.", int(bodyTime.Seconds()))
	case http.StatusRequestEntityTooLarge:
		p = problem(codeTooLarge, "The body is larger than %d bytes.", maxBody)
	case http.StatusUnsupportedMediaType:
		p = problem(codeMediaType, "The body's Content-Type is not application/json.")
	case http.StatusUnprocessableEntity:
		p = problem(codeValidation, "The request does not fit its description.")
	default:
		p = problem(codeUnavailable, "The request could not be read to its end.")
		p.after = retryUnknown
		return p
	}
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok {
			p.at(d.ErrorDetail().Location, d.ErrorDetail().Message)
		}
	}
	slices.SortStableFunc(p.Errors, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	if len(p.Errors) > maxErrors {
		p.Errors = p.Errors[:maxErrors]
	}
	return p
}

// What Retry-After says when the cause gave no time.
const (
	retryThrottled = 10 * time.Second
	retryUnknown   = 30 * time.Second
)

// answer is the problem that err becomes. What this package did not word
// itself is worded by kind, since a cause may hold internals; only a remedy
// goes out as it is, because it is written for that.
func answer(ctx context.Context, log *slog.Logger, operation string, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	f := fault.Of(err)
	if p := known(f); p != nil {
		return p
	}
	level := slog.LevelWarn
	switch f.Kind {
	case fault.Throttled:
		p = problem(codeThrottled, "The request came too soon after another, or while the service was busy.")
		p.after = f.After
		if p.after <= 0 {
			p.after = retryThrottled
		}
		if t, ok := errors.AsType[*tooSoon](err); ok {
			p.location = t.location
		}
		return p.withRemedy(f.Remedy)
	case fault.NotFound:
		return problem(codeNotFound, "What the path names does not exist.").withRemedy(f.Remedy)
	case fault.Denied:
		p = problem(codeForbidden, "The service was denied what it needs to answer.").withRemedy(f.Remedy)
	case fault.Invalid:
		p = problem(codeRejected, "The request can never be accepted as it is.").withRemedy(f.Remedy)
	case fault.Conflict:
		p = problem(codeConflict, "Somebody else changed the same thing at the same time.").withRemedy(f.Remedy)
	default: // Unknown, and Expired, which is for workers to handle
		level = slog.LevelError
		p = problem(codeUnavailable, "The service could not do it just now.").withRemedy(f.Remedy)
		p.after = retryUnknown
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // the client is still there
		log.Log(ctx, level, "request failed", "operation", operation, "kind", f.Kind.String(), "err", err)
	}
	return p
}

// write answers a problem outside of huma.
func write(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.WriteHeader(p.Status)
	_ = encode(w, p)
}

// encode writes JSON in which <, > and & are escaped: the names in it are a
// customer's own, and somebody will put an answer into a page.
func encode(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

// clip cuts what is echoed to 100 bytes, at a character's end.
func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	n := 100
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
