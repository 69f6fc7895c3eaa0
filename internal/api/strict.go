package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// actorHeader says for whom the vendor asks. A key names nobody, so it is
// recorded as asserted.
const actorHeader = "X-Rollcall-Actor"

// hostParams are query parameters that belong to the Azure Functions host,
// which takes its key from the query too (documented). They are never read
// and never logged.
var hostParams = map[string]bool{"code": true, "clientId": true}

// strict refuses what huma would let pass: a misspelled parameter, which
// would silently list from the start again, a repeated one, an actor that is
// not UTF-8, and a body that does not say that it is JSON.
func (a *API) strict(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	op := ctx.Operation()
	if p := checkQuery(op, r.URL.RawQuery); p != nil {
		write(w, p)
		return
	}
	if v := r.Header.Values(actorHeader); len(v) > 1 || len(v) == 1 && !utf8.ValidString(v[0]) {
		write(w, problem(codeValidation, "The request does not fit its description.").
			at("header."+actorHeader, "expected one value in UTF-8"))
		return
	}
	if op.RequestBody != nil && bare(r) {
		write(w, problem(codeMalformed, "The request has no body.").at("body", a.wanted(op)))
		return
	}
	if op.RequestBody != nil {
		t, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		charset, named := params["charset"]
		encoding := r.Header.Get("Content-Encoding")
		if err != nil || t != "application/json" || named && !strings.EqualFold(charset, "utf-8") ||
			encoding != "" && !strings.EqualFold(encoding, "identity") {
			write(w, problem(codeMediaType, "The body is not announced as plain application/json in UTF-8."))
			return
		}
		r.Header.Set("Content-Type", t) // huma compares it letter by letter
	} else if gather(w, r) > maxBody {
		// What takes no body ignores a small one; of a large one somebody
		// thinks that it says something.
		write(w, problem(codeTooLarge, "This operation takes no body, and one of more than %d bytes came.", maxBody))
		return
	}
	next(ctx)
}

// bare reports whether the request has neither a body nor a word about one.
func bare(r *http.Request) bool {
	return r.Header.Get("Content-Type") == "" && (r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0)
}

// wanted says what the operation's body must hold.
func (a *API) wanted(op *huma.Operation) string {
	s := op.RequestBody.Content["application/json"].Schema
	if s.Ref != "" {
		s = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	const object = "expected a JSON object, announced as Content-Type: application/json"
	if len(s.Required) == 0 {
		return object
	}
	return object + ", with " + strings.Join(s.Required, ", ")
}

// gather reads the body of an operation that describes none, for at most
// bodyTime, and keeps it for whoever looks at it all the same. It returns how
// many bytes came, at most one more than maxBody.
func gather(w http.ResponseWriter, r *http.Request) int {
	if r.Body == nil || r.Body == http.NoBody {
		return 0
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // a writer of a test knows none
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return len(b)
}

func checkQuery(op *huma.Operation, raw string) *Problem {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return problem(codeValidation, "The query cannot be read.").at("query", "expected name=value pairs, percent-encoded")
	}
	known := map[string]bool{}
	var bad *Problem
	note := func(name, message string) {
		if bad == nil {
			bad = problem(codeValidation, "The request does not fit its description.")
		}
		if len(bad.Errors) < maxErrors {
			bad.at("query."+name, message)
		}
	}
	for _, p := range op.Parameters {
		known[p.Name] = p.In == "query"
		if p.In == "query" && p.Required && !query.Has(p.Name) {
			note(p.Name, "required, and not there. "+p.Description)
		}
	}
	for name, values := range query {
		switch {
		case hostParams[name]:
		case !known[name]:
			note(name, "unknown parameter")
		case len(values) > 1:
			note(name, "expected once")
		}
	}
	return bad
}

// maxDepth is far deeper than anything that the API takes.
const maxDepth = 16

// decode reads a request body. huma calls it twice: with an *any, which it
// then validates, and with the type that the handler gets. Both must see the
// same values, so a name may not appear twice.
func decode(data []byte, v any) error {
	if _, first := v.(*any); first {
		if !utf8.Valid(data) {
			return errors.New("expected UTF-8")
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		if err := unique(dec, 0); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return notJSON(err)
	}
	return nil
}

// unique reads one value and refuses repeated names in its objects.
func unique(dec *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("expected at most %d levels", maxDepth)
	}
	t, err := dec.Token()
	if err != nil {
		return notJSON(err)
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			k, err := dec.Token()
			if err != nil {
				return notJSON(err)
			}
			name, _ := k.(string)
			if seen[name] {
				return fmt.Errorf("expected the name %q only once", clip(name))
			}
			seen[name] = true
		}
		if err := unique(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return notJSON(err)
	}
	return nil
}

// notJSON words an error of encoding/json without what the client sent.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("expected JSON; it breaks off or goes wrong at byte %d", syntax.Offset)
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) { // to a schema 1e2 and 100.0 are integers, to Go they are not
		return errors.New("expected integers in plain digits, without fraction or exponent")
	}
	return errors.New("expected one complete JSON object")
}

// checkText returns what is wrong with a text that people will read, or "".
// Format characters are refused, since one that turns the direction of
// writing makes a name look like another; joiners are not, since Persian and
// the scripts of India cannot be spelled without.
func checkText(s string) string {
	const zwnj, zwj = '\u200c', '\u200d'
	for _, r := range s {
		if !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) && r != zwnj && r != zwj {
			return fmt.Sprintf("expected no control or formatting characters, but it holds %U", r)
		}
	}
	if strings.TrimSpace(s) != s {
		return "expected no white space at either end"
	}
	return ""
}

// validID accepts what IDs are made of, so that nothing else reaches a table
// key.
func validID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
