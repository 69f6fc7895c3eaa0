package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// The groups of operations.
const (
	tagConnections = "Connections"
	tagRuns        = "Runs"
	tagDirectory   = "Directory"
	tagService     = "Service"
	tagOperations  = "Operations"
)

// pagesInWords ends the description of every list that continues.
const pagesInWords = " A page may hold fewer than limit records and still continue: follow continuation until it is absent."

// describe returns the document before any operation.
func describe() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:   "Rollcall",
			Version: version,
			Description: "Keeps a product in step with its customers' Microsoft Entra tenants: invite a company, let its administrator consent, read who is there and what changed.\n\n" +
				"Every error is `application/problem+json` (RFC 9457). Its `type` is stable and made for machines, `detail` says what happened and `remedy` what to do next. " +
				"422 means that the request does not fit this document, and lists each mistake; 400 that it cannot be read or names a place in a list that does not exist.\n\n" +
				"Names of JSON properties are exact: unknown and repeated ones are refused, as are unknown query parameters. Times are RFC 3339, in UTC and to the second; when runs and their phases began and ended is told to the millisecond. " +
				"A property without a value is left out.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Tags: []*huma.Tag{
			{Name: tagConnections, Description: "The links between companies and tenants."},
			{Name: tagRuns, Description: "Syncs, asked for and done."},
			{Name: tagDirectory, Description: "What is stored, and how it changed."},
			{Name: tagOperations, Description: "What an operator does when something went wrong, to many connections or to the queue."},
			{Name: tagService, Description: "How the service itself stands."},
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{"key": {
				Type: "apiKey", In: "header", Name: "x-functions-key",
				Description: "A function or host key of the function app. The Azure Functions host checks it.",
			}},
		},
		Security: []map[string][]string{{"key": {}}},
	}
}

// register adds one operation: its route, its checks and its description.
// op.Errors names the statuses beside those that every operation can answer.
func register[I, O any](a *API, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxBody + 1 // huma refuses a body that reaches its limit
	op.BodyReadTimeout = bodyTime
	statuses := append([]int{401, 403, 422, 429, 503}, op.Errors...)
	if _, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		statuses = append(statuses, 400, 408, 409, 413, 415)
	}
	op.Errors = nil // described here instead: huma would promise a 500
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	slices.Sort(statuses)
	for _, status := range slices.Compact(statuses) {
		if code := strconv.Itoa(status); op.Responses[code] == nil {
			op.Responses[code] = a.failure(status)
		}
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, answer(ctx, a.Log, op.OperationID, err)
		}
		return out, nil
	})
}

// failure describes the problems of a status, each with an example.
func (a *API) failure(status int) *huma.Response {
	if status == http.StatusUnauthorized {
		return &huma.Response{Description: "The key is missing or wrong. The host answers this before the request reaches the service, without a body."}
	}
	media := &huma.MediaType{
		Schema:   a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, ""),
		Examples: map[string]*huma.Example{},
	}
	r := &huma.Response{
		Description: http.StatusText(status),
		Content:     map[string]*huma.MediaType{"application/problem+json": media},
	}
	for code, k := range kinds {
		if k.status == status {
			media.Examples[code] = &huma.Example{Summary: k.title, Value: problem(code, "%s", samples[code])}
		}
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		r.Headers = map[string]*huma.Param{"Retry-After": {
			Description: "Seconds until it makes sense to try again, at least 1.",
			Schema:      &huma.Schema{Type: huma.TypeInteger, Minimum: new(float64(1))},
		}}
	}
	return r
}

// samples are details as they occur, for the document.
var samples = map[string]string{
	codeMalformed:    "The body is missing or is not the JSON that this route takes.",
	codeContinuation: "The continuation belongs to another list.",
	codePosition:     "The connection's newest change is 1284.",
	codeRejected:     "The request can never be accepted as it is.",
	codeForbidden:    "The service was denied what it needs to answer.",
	codeNotFound:     "There is no connection with this ID.",
	codeTimeout:      "The body did not arrive within 30 seconds.",
	codeNotConnected: "The connection has no verified tenant.",
	codeConnected:    "The connection has its tenant, and its links are dead.",
	codeConflict:     "Somebody else changed the same thing at the same time.",
	codeDecided:      "No plan of removals of this run with this hash waits for a decision.",
	codeInvited:      "The company has a connection already: k7vq2x5n3jd4mzs6ab2chtwyeu, which is invited.",
	codePaused:       "The connection is paused.",
	codeOffboarded:   "The connection has ended.",
	codeTransfer:     "The tenant cannot be transferred between these connections.",
	codePurging:      "The connection's data is purged, or has been, and cannot be kept any more.",
	codeVerifying:    "The tenant's consent is being verified.",
	codeGone:         "Change 17 is no longer kept.",
	codeTooLarge:     "The body is larger than 65536 bytes.",
	codeMediaType:    "The body is not announced as plain application/json in UTF-8.",
	codeValidation:   "The request does not fit its description.",
	codeThrottled:    "The request came too soon after another, or while the service was busy.",
	codeUnavailable:  "The service could not do it just now.",
}

// listed describes the answer of a streamed list, whose type huma cannot see.
func listed[T any](a *API) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: "OK",
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, ""),
		}},
	}}
}

// loosen lets answers grow: a client that checks them against today's
// document must not break when a property is added. Requests stay exact.
func loosen(doc *huma.OpenAPI) {
	for name, s := range doc.Components.Schemas.Map() {
		if !strings.HasSuffix(name, "Request") {
			s.AdditionalProperties = nil
		}
	}
}

// render writes the document in both notations. It cannot fail but by a
// mistake in a registration, which the tests would show.
func render(doc *huma.OpenAPI) (asJSON, asYAML []byte) {
	b, _ := json.Marshal(doc)
	var out bytes.Buffer
	_ = json.Indent(&out, b, "", "  ")
	out.WriteByte('\n')
	asYAML, _ = doc.YAML()
	return out.Bytes(), asYAML
}
