// Package obs is how Rollcall is observed: structured logs that carry the
// invocation and trace they belong to.
//
// No log line holds a token, a link, a mail address or a name: what is secret
// in a URL is cut out here, whoever logged it.
package obs

import (
	"context"
	"io"
	"log/slog"
	"regexp"
)

// Correlation ties log lines and messages to what caused them.
type Correlation struct {
	// Invocation is the Functions host's ID of this call.
	Invocation string
	// Traceparent is the W3C trace context of the caller, or empty.
	Traceparent string
}

type correlationKey struct{}

// With returns a context whose log lines carry c.
func With(ctx context.Context, c Correlation) context.Context {
	return context.WithValue(ctx, correlationKey{}, c)
}

// From returns the correlation of ctx, or a zero one.
func From(ctx context.Context) Correlation {
	c, _ := ctx.Value(correlationKey{}).(Correlation)
	return c
}

// Traceparent is the trace context to send along, or empty.
func Traceparent(ctx context.Context) string { return From(ctx).Traceparent }

// traceparent is the only form that is passed on. Source: W3C Trace Context.
var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// ValidTraceparent returns s if it is a traceparent, else nothing.
func ValidTraceparent(s string) string {
	if traceparent.MatchString(s) {
		return s
	}
	return ""
}

// New returns a logger that writes a JSON object a line. The Functions host
// takes lines on standard output for information and those on standard error
// for errors, so w is standard output.
func New(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(handler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: redact})})
}

type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	c := From(ctx)
	if c.Invocation != "" {
		r.AddAttrs(slog.String("invocation", c.Invocation))
	}
	if c.Traceparent != "" {
		r.AddAttrs(slog.String("traceparent", c.Traceparent))
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{h.Handler.WithAttrs(a)} }
func (h handler) WithGroup(n string) slog.Handler      { return handler{h.Handler.WithGroup(n)} }

// secrets are the parts of URLs that let their holder in: delta and page
// links, authorization codes and states, signatures, assertions, our own
// links; and mail addresses.
var secrets = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?i)((?:%24|\$)?(?:delta|skip)token|client_assertion|client_secret|code_verifier|code|state|nonce|sig)(=|%3D)[^&\s"'\\]+`), "$1=[redacted]"},
	{regexp.MustCompile(`(?i)(/connect/)[^/\s"'\\?]+`), "$1[redacted]"},
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`), "[redacted token]"},
	{regexp.MustCompile(`[\p{L}\p{N}._%+'#-]+@[\p{L}\p{N}-]+(\.[\p{L}\p{N}-]+)+`), "[redacted address]"},
}

// Redact cuts out of s what no log may hold.
func Redact(s string) string {
	for _, r := range secrets {
		s = r.pattern.ReplaceAllString(s, r.with)
	}
	return s
}

func redact(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Redact(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.StringValue(Redact(err.Error()))
		}
	}
	return a
}
