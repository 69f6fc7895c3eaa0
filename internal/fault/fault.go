// Package fault says what a caller can do about an error.
//
// Every error that crosses a package boundary is of one of seven kinds, and a
// decision is made by kind, never by text.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the remedy class of an error.
type Kind int

// The seven kinds. An error that nobody classified is Unknown.
const (
	// Unknown may pass by itself: try again later, with growing delay.
	Unknown Kind = iota
	// Throttled asks to come back after [Error.After].
	Throttled
	// Expired means that a cursor or token was forgotten by its issuer: start over.
	Expired
	// Denied means that somebody must grant something; trying again is no use.
	Denied
	// Invalid means that the input can never be accepted.
	Invalid
	// NotFound means that the thing named does not exist.
	NotFound
	// Conflict means that somebody else was faster, or owns the thing.
	Conflict
)

var kindNames = [...]string{"unknown", "throttled", "expired", "denied", "invalid", "not found", "conflict"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Class says whose trouble a refused token is. Empty means that nobody judged.
type Class string

// The classes of refused tokens.
const (
	// Disconnected: the customer's tenant does not know the app any more.
	Disconnected Class = "disconnected"
	// Ours: the vendor's own credential or app registration is refused.
	Ours Class = "ours"
	// Policy: a policy of the customer's blocks the app.
	Policy Class = "policy"
	// Transient: it passes by itself.
	Transient Class = "transient"
)

// Error is an error with its remedy.
type Error struct {
	Kind Kind
	// Class is set for refused tokens.
	Class Class
	// After is how long to wait before the next try. Zero means that nobody said.
	After time.Duration
	// Scope is set for throttles that are not of one tenant but of the whole
	// app, so that all its tenants must slow down: what Microsoft calls it, such
	// as Application/ReadWrite.
	Scope string
	// Code is a stable, machine-readable name of the cause, such as a
	// Microsoft Graph error code. It may be empty.
	Code string
	// Remedy is one sentence in plain words for the person who can help:
	// what to do next. It holds no secret and no personal data.
	Remedy string
	// Err is the cause.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind with a formatted cause.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// WithRemedy sets the sentence that says what to do next and returns e.
func (e *Error) WithRemedy(format string, args ...any) *Error {
	e.Remedy = fmt.Sprintf(format, args...)
	return e
}

// WithCode sets the machine-readable cause and returns e.
func (e *Error) WithCode(code string) *Error {
	e.Code = code
	return e
}

// Wrap prefixes *err, if it is not nil, with the operation and the IDs it
// worked on. Its kind and remedy stay reachable. Use it once per exported
// function, deferred first.
func Wrap(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *err)
	}
}

// Of returns the outermost classified error in err's chain, or an Unknown one
// that holds err. It returns nil for a nil err.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Unknown, Err: err}
}

// Is reports whether err is of the given kind. A nil error is of no kind.
func Is(err error, kind Kind) bool {
	return err != nil && Of(err).Kind == kind
}
