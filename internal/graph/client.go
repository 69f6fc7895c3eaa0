// Package graph reads customers' directories from Microsoft Graph. It is the
// only user of msgraph-sdk-go.
//
// A page is either complete or an error: a cut body, a page without links or
// a refusal never looks like an empty directory.
package graph

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	auth "github.com/microsoft/kiota-authentication-azure-go"
	khttp "github.com/microsoft/kiota-http-go"
	kjson "github.com/microsoft/kiota-serialization-json-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// callTimeout bounds one request with its body. A page of 999 people has
	// about 1 MB; Graph's own gateway gives up after 60 s or so.
	callTimeout = 90 * time.Second
	// maxBody bounds a response: far above the largest page, 999 people with
	// 250 alternative addresses each.
	maxBody = 256 << 20
)

// Credentials give the credential of a tenant.
type Credentials interface {
	// Tenant returns the kept one, with its token.
	Tenant(a connection.Access) (azcore.TokenCredential, error)
	// Fresh returns one without a token, which sees what was granted since.
	Fresh(a connection.Access) (azcore.TokenCredential, error)
}

// Client reads any tenant's directory. It is safe for concurrent use.
type Client struct {
	base  string // with version, without a slash at the end
	creds Credentials
	sdk   abstractions.RequestAdapter
	plain http.RoundTripper // without the SDK, and so without a token
	pacer Pacer
	// decoding has room for as many pages of lists as are decoded at once: dozens
	// come in the same moment, and one processor is left to whoever writes them.
	decoding chan struct{}

	// Now is the clock of the pacing, and Sleep waits for so long or until ctx
	// ends. [New] sets both.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

// New returns a client of the Graph at endpoint, such as
// https://graph.microsoft.com. The transport is shared by all tenants; nil
// means one like net/http's default.
func New(endpoint string, creds Credentials, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fault.New(fault.Invalid, "graph: endpoint %q is not an https URL", endpoint)
	}
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64 // net/http keeps 2, and would dial anew for every third tenant
		transport = t
	}
	options := core.GraphClientOptions{GraphServiceVersion: "v1.0"}
	// The SDK's retry hides a long Retry-After behind a timeout, and its
	// compression corrupts retried bodies; both are left out. The list is
	// explicit, since the SDK's own order changes from process to process.
	pipeline := khttp.NewCustomTransportWithParentTransport(observer{transport},
		core.NewGraphTelemetryHandler(&options),
		khttp.NewUrlReplaceHandler(true, core.ReplacementPairs),
		khttp.NewParametersNameDecodingHandler(),
		khttp.NewHeadersInspectionHandler())
	client := &http.Client{Transport: pipeline, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	base := strings.TrimSuffix(endpoint, "/")
	provider, err := auth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(lent{}, []string{base + "/.default"}, []string{u.Hostname()})
	if err != nil {
		return nil, fault.New(fault.Invalid, "graph: endpoint %q: %w", endpoint, err)
	}
	adapter, err := core.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(provider, options, kjson.NewJsonParseNodeFactory(), kjson.NewJsonSerializationWriterFactory(), client)
	if err != nil {
		return nil, fault.New(fault.Invalid, "graph: endpoint %q: %w", endpoint, err)
	}
	return &Client{
		base: base + "/v1.0", creds: creds, sdk: adapter, plain: transport, decoding: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
		Now: time.Now, Sleep: sleep,
	}, nil
}

// lent is the credential of the call that the context is of. The SDK has one
// provider and one adapter for all tenants, which it would make for each.
type lent struct{}

func (lent) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	a, ok := ctx.Value(answerKey{}).(*answer)
	if !ok || a.credential == nil {
		return azcore.AccessToken{}, fault.New(fault.Unknown, "a call without a credential")
	}
	return a.credential.GetToken(ctx, o)
}

// answer is what the observer saw of a call.
type answer struct {
	credential azcore.TokenCredential // with which the call is made

	status int
	header http.Header
	calls  int // requests so far, of this and earlier tries
	units  int // what they cost
}

// count tells the meter of the context about the requests of a call.
func (a *answer) count(ctx context.Context) {
	for left := a.calls; left > 0; left-- {
		job.Count(ctx, a.units)
		a.units = 0
	}
	a.calls = 0
}

// units is what Graph says that a request has cost, 0 if it does not. Source:
// Microsoft Graph documentation, "Throttling limits": x-ms-resource-unit.
func units(h http.Header) int {
	const most = 10_000 // a request costs a handful; more is no cost of ours
	n, err := strconv.Atoi(h.Get("x-ms-resource-unit"))
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}

type answerKey struct{}

// observer notes the status and headers of a response, which the SDK loses
// when the body is not JSON, and bounds the body.
type observer struct{ next http.RoundTripper }

func (o observer) RoundTrip(req *http.Request) (*http.Response, error) {
	a, ok := req.Context().Value(answerKey{}).(*answer)
	if ok {
		a.calls++
	}
	resp, err := o.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if ok {
		a.status, a.header = resp.StatusCode, resp.Header
		a.units += units(resp.Header)
	}
	resp.Body = &bounded{resp.Body, maxBody}
	return resp, nil
}

// bounded fails when more than the bytes left are read, where io.LimitReader
// would end quietly and cut the page.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fault.New(fault.Invalid, "response above %d bytes", int64(maxBody))
	}
	return n, err
}

// call is one request to Graph.
type call struct {
	method abstractions.HttpMethod // the zero value is GET
	link   string
	body   []byte
	// needs names the application permissions without which Graph refuses.
	needs string
	// given is true if the link came from Graph: what Graph does not
	// understand of it any more, it has forgotten.
	given bool
	// eventual asks the index that Graph keeps beside its directory. Source:
	// Microsoft Graph documentation, "Advanced query capabilities".
	eventual bool
	// accept is the header Accept if it is not JSON's, prefer the header Prefer.
	accept, prefer string
	// units is what the requests of a batch are taken to cost; 0 is what the
	// link says.
	units int
	// head is shown the beginning of a long page before the rest has come.
	head func(part []byte)
	// bare allows a success without a body; told puts Graph's message into the
	// error, for a caller who may read it.
	bare, told bool
}

// send does one call to a tenant and returns the body of a success.
func (c *Client) send(ctx context.Context, tenant connection.Access, q call) ([]byte, error) {
	return ask(ctx, c, tenant, q, func(b []byte) ([]byte, error) { return bytes.Clone(b), nil })
}

// ask does one call to a tenant and decodes the body of a success, which
// decode must not keep.
func ask[T any](ctx context.Context, c *Client, tenant connection.Access, q call, decode func([]byte) (T, error)) (v T, err error) {
	var seen answer
	defer seen.count(ctx)
	err = c.exchange(ctx, tenant, q, &seen, func(b []byte) (err error) {
		v, err = decode(b)
		return err
	})
	return v, err
}

// exchange does a call without counting it, and hands the body of a success to
// use, which must not keep it. A refusal may be of a kept token that was issued
// before the tenant granted what it grants now, so it counts only with a new
// one.
func (c *Client) exchange(ctx context.Context, tenant connection.Access, q call, seen *answer, use func([]byte) error) error {
	err := c.try(ctx, tenant, q, seen, use)
	if seen.status != http.StatusUnauthorized && seen.status != http.StatusForbidden {
		return err
	}
	if _, err := c.creds.Fresh(tenant); err != nil {
		return err
	}
	return c.try(ctx, tenant, q, seen, use)
}

func (c *Client) try(ctx context.Context, tenant connection.Access, q call, seen *answer, use func([]byte) error) (err error) {
	seen.status, seen.header = 0, nil
	if !strings.HasPrefix(q.link, c.base+"/") {
		return fault.New(fault.Expired, "link of another host or version than %s", c.base)
	}
	if seen.credential, err = c.creds.Tenant(tenant); err != nil {
		return err
	}
	ri, err := q.request()
	if err != nil {
		return err
	}
	cost, err := c.pace(ctx, tenant, &q)
	if err != nil {
		return err
	}
	defer func() { c.pacer.Tell(c.Now(), tenant, seen.header, cost) }()
	if p := priority(ctx); p != "" {
		ri.Headers.Add(priorityHeader, p)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx = context.WithValue(ctx, answerKey{}, seen)

	var got *response // made when it comes: calls wait for longer than they read
	defer func() { got.free() }()
	handler := abstractions.NewRequestHandlerOption()
	handler.SetResponseHandler(func(native any, _ abstractions.ErrorMappings) (any, error) {
		got = newResponse()
		got.head = q.head
		got.take(native)
		return nil, nil // an error, which may name people, would get into a span
	})
	ri.AddRequestOptions([]abstractions.RequestOption{handler})
	if _, err := c.sdk.SendPrimitive(ctx, ri, "[]byte", nil); err != nil {
		return refusal(err, *seen, q)
	}
	switch {
	case got == nil:
		return fault.New(fault.Unknown, "no response")
	case got.refusal != nil || got.status >= http.StatusBadRequest:
		return refusal(got.refusal, *seen, q)
	case got.err != nil:
		return got.err
	case got.status < 200 || got.status > 299: // a redirect, which is not followed
		return fault.New(fault.Unknown, "status %d", got.status)
	case q.bare && got.status == http.StatusNoContent:
		return nil
	case len(bytes.TrimSpace(got.body)) == 0:
		return fault.New(fault.Unknown, "status %d without a body", got.status)
	}
	return use(got.body)
}

// request is the call as the SDK takes it.
func (q *call) request() (*abstractions.RequestInformation, error) {
	u, err := url.Parse(q.link)
	if err != nil {
		return nil, fault.New(fault.Expired, "link cannot be parsed")
	}
	ri := abstractions.NewRequestInformation()
	ri.Method = q.method
	ri.SetUri(*u)
	ri.Headers.Add("Accept", cmp.Or(q.accept, "application/json"))
	ri.Headers.Add("Accept-Encoding", "gzip") // which keeps net/http from inflating: we do it with less
	if q.eventual {
		ri.Headers.Add("ConsistencyLevel", "eventual")
	}
	if q.prefer != "" {
		ri.Headers.Add("Prefer", q.prefer)
	}
	if q.body != nil {
		ri.SetStreamContentAndContentType(q.body, "application/json")
	}
	return ri, nil
}
