// Package funchost speaks the custom-handler protocol of the Azure Functions
// host, version 4.
//
// A timer or queue invocation is never answered with an empty body: the host
// would wait for one until its own time limit.
package funchost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/obs"
)

// maxBody bounds an invocation: a Service Bus message of the Standard tier
// has at most 256 KiB, a third more in base 64, and its metadata.
const maxBody = 1 << 20

// Invocation is one call of a timer or queue function.
type Invocation struct {
	// Data holds the trigger's value under the binding's name.
	Data map[string]json.RawMessage `json:"Data"`
	// Metadata is the host's own; its values are JSON in strings, and it may
	// hold anything that a sender put into a message.
	Metadata map[string]json.RawMessage `json:"Metadata"`
}

// Decode reads an invocation's body. A body that is none is [fault.Invalid].
func Decode(r io.Reader) (inv Invocation, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return inv, fault.New(fault.Unknown, "funchost: read invocation: %w", err)
	}
	if len(b) > maxBody {
		return inv, fault.New(fault.Invalid, "funchost: invocation above %d bytes", maxBody)
	}
	if err := json.Unmarshal(b, &inv); err != nil {
		return inv, fault.New(fault.Invalid, "funchost: invocation: %w", err)
	}
	if inv.Data == nil {
		return inv, fault.New(fault.Invalid, "funchost: invocation without Data")
	}
	return inv, nil
}

// maxWraps is how often a value may be wrapped in a string: the host's
// encoding of a string adds one to what the sender wrote.
const maxWraps = 3

// Payload returns the JSON object that a queue message carries, in whichever
// of its forms the host passes it on: the object, the object in a string, the
// same in a string again, or base 64 of any of them.
func (i Invocation) Payload(binding string) ([]byte, error) {
	raw, ok := i.Data[binding]
	if !ok {
		return nil, fault.New(fault.Invalid, "funchost: no value for binding %q", binding)
	}
	v := bytes.TrimSpace(raw)
	for range maxWraps + 1 {
		if len(v) > 0 && v[0] == '{' {
			return v, nil
		}
		if len(v) > 0 && v[0] == '"' {
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return nil, fault.New(fault.Invalid, "funchost: value of %q: %w", binding, err)
			}
			v = bytes.TrimSpace([]byte(s))
			continue
		}
		dec, err := base64.StdEncoding.DecodeString(string(v))
		if err != nil {
			break
		}
		v = bytes.TrimSpace(dec)
	}
	return nil, fault.New(fault.Invalid, "funchost: value of %q is no JSON object in any known form", binding)
}

// traceparent is the trace context that a message's sender put into its
// properties, or empty.
func (i Invocation) traceparent() string {
	var properties struct {
		Traceparent string `json:"traceparent"`
	}
	// What is no object, or has something else there, came without one.
	if json.Unmarshal(i.Metadata["ApplicationProperties"], &properties) != nil {
		return ""
	}
	return obs.ValidTraceparent(properties.Traceparent)
}

// success is the least that the host takes for success.
var success = []byte(`{"Outputs":{},"Logs":[],"ReturnValue":null}`)

// Trigger serves a timer or queue function. An error fails the invocation: a
// timer waits for its next tick, a message comes back at once.
type Trigger struct {
	// Name is the function's, for logs.
	Name string
	Do   func(ctx context.Context, inv Invocation) error
	// Deadline is how long Do may take, well below the host's functionTimeout,
	// at which the host would kill the process with everything else in it.
	Deadline time.Duration
	Log      *slog.Logger
	// Begin records the invocation until the function that it returns is told
	// how it went; nil records nothing.
	Begin func(ctx context.Context, name string) (context.Context, func(error))
}

func (t Trigger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), t.Deadline)
	defer cancel()
	w.Header().Set("Content-Type", "application/json")
	inv, err := Decode(r.Body)
	if err == nil {
		// A message belongs to the trace of who sent it, not of who delivers it.
		if sent := inv.traceparent(); sent != "" {
			ctx = obs.With(ctx, obs.Correlation{Invocation: obs.From(ctx).Invocation, Traceparent: sent})
		}
		done := func(error) {}
		if t.Begin != nil {
			ctx, done = t.Begin(ctx, t.Name)
		}
		err = t.Do(ctx, inv)
		done(err)
	}
	if err != nil {
		// The host drops the body of a failure, so the cause goes to the log.
		t.Log.ErrorContext(ctx, "invocation failed", "function", t.Name, "kind", fault.Of(err).Kind.String(), "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"error":"see the log"}`))
		return
	}
	_, _ = w.Write(success) // the host is gone if this fails; the message will come again
}

// Correlate puts the invocation's ID and trace context into the request's
// context.
func Correlate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(obs.With(r.Context(), obs.Correlation{
			Invocation:  r.Header.Get("X-Azure-Functions-InvocationId"),
			Traceparent: obs.ValidTraceparent(r.Header.Get("traceparent")),
		})))
	})
}
