package host

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Quoting says how a queue message's text travels in Data.
type Quoting int

const (
	// QuotingDouble is a JSON string that contains a JSON string (source:
	// GetHttpScriptInvocationContextValue and its unit tests).
	QuotingDouble Quoting = iota
	// QuotingSingle is a JSON string of the text itself, as the examples in
	// Microsoft's "Azure Functions custom handlers" show (documented).
	QuotingSingle
)

// invocation is the body of the POST contract (documented).
type invocation struct {
	Data     map[string]any
	Metadata map[string]any
}

// marshal is JSON without the escapes that are meant for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// encode turns a value into what the host puts on the wire (source:
// GetHttpScriptInvocationContextValue): a string, number, boolean or array
// becomes a string of its JSON; a date a string to the second, without zone for a
// DateTime; bytes base64; an object stays an object.
func encode(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case dateTime:
		return time.Time(v).UTC().Format("2006-01-02T15:04:05")
	case dateTimeOffset:
		return time.Time(v).UTC().Format("2006-01-02T15:04:05+00:00")
	default:
		b, err := marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

// dateTime and dateTimeOffset are .NET's two kinds of time.
type (
	dateTime       time.Time
	dateTimeOffset time.Time
)

// text encodes a queue message's text.
func (q Quoting) text(s string) any {
	if q == QuotingSingle {
		return s
	}
	return encode(s)
}

// spread copies the top-level properties of a text that is a JSON object into the metadata, over
// whatever is there, except arrays (source: Utility.ApplyBindingData). So a
// body's "DeliveryCount" hides the real one.
func spread(text string, metadata map[string]any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var doc map[string]any
	if d.Decode(&doc) != nil || d.More() {
		return
	}
	for k, v := range doc {
		switch v.(type) {
		case []any, nil:
		default:
			metadata[k] = v
		}
	}
}

// wire encodes metadata: no nulls, and no key that ends in "trigger" (source).
func wire(metadata map[string]any) map[string]any {
	out := make(map[string]any, len(metadata))
	for k, v := range metadata {
		if v == nil || strings.HasSuffix(strings.ToLower(k), "trigger") {
			continue
		}
		out[k] = encode(v)
	}
	return out
}
