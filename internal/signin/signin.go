// Package signin lets a person sign in at Microsoft Entra and returns who they
// are, by OpenID Connect's authorization code flow with PKCE.
//
// An identity leaves this package only out of an ID token whose signature,
// key issuer, issuer, audience, lifetime and nonce were verified here.
package signin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Config is what a [Client] needs.
type Config struct {
	// Authority is the sign-in service, such as https://login.microsoftonline.com.
	Authority string
	// Callback is the redirect address that every app registration names.
	Callback string
	// Prove returns the form parameters by which an app proves itself at that
	// token endpoint: a signed assertion (RFC 7523) or a secret.
	Prove func(ctx context.Context, app connection.App, endpoint string) (url.Values, error)
	// Refused tells that the token endpoint did not take what Prove returned,
	// with its code such as AADSTS7000215, and reports whether Prove has
	// another; nil means that it never has.
	Refused func(ctx context.Context, app connection.App, proved url.Values, code string) bool
	// Transport carries the requests; nil means [http.DefaultTransport].
	Transport http.RoundTripper
	Now       func() time.Time
}

// Client signs people in at the endpoint for work and school accounts of any
// tenant. It is safe for concurrent use.
type Client struct {
	oauth   oauth2.Config // without a client ID
	prove   func(ctx context.Context, app connection.App, endpoint string) (url.Values, error)
	refused func(ctx context.Context, app connection.App, proved url.Values, code string) bool
	http    *http.Client
	keys    *keySet
	now     func() time.Time
}

const (
	// exchangeTime bounds one request to Entra.
	exchangeTime = 20 * time.Second
	// maxAnswer bounds a response body in bytes. Entra's key list has about
	// 20 KiB, a token response about 10 KiB.
	maxAnswer = 1 << 20
)

// maxProofs bounds how often one code is tried: with the newest credential, the
// one before, and one that has just come.
const maxProofs = 3

// New returns a client. It makes no request until the first code is redeemed.
func New(c Config) *Client {
	base := strings.TrimSuffix(c.Authority, "/") + "/organizations"
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	hc := &http.Client{
		Transport: limited{transport},
		Timeout:   exchangeTime,
		// Neither endpoint redirects; whoever does is not Entra.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
	keys := &keySet{discovery: base + "/v2.0/.well-known/openid-configuration", http: hc, now: c.Now}
	return &Client{
		oauth: oauth2.Config{
			RedirectURL: c.Callback,
			// profile brings oid (documented: ID token claims, oid).
			Scopes: []string{oidc.ScopeOpenID, "profile"},
			Endpoint: oauth2.Endpoint{
				AuthURL:   base + "/oauth2/v2.0/authorize",
				TokenURL:  base + "/oauth2/v2.0/token",
				AuthStyle: oauth2.AuthStyleInParams,
			},
		},
		prove:   c.Prove,
		refused: c.Refused,
		http:    hc,
		keys:    keys,
		now:     c.Now,
	}
}

// of is the protocol as the app speaks it.
func (c *Client) of(app connection.App) *oauth2.Config {
	o := c.oauth
	o.ClientID = app.ID
	return &o
}

// AuthURL is where to send a browser to sign in to the app. The answer comes back in the
// query, because a cookie with SameSite=Lax accompanies a GET only.
func (c *Client) AuthURL(app connection.App, state, nonce, verifier string) string {
	return c.of(app).AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("response_mode", "query"),
		oauth2.SetAuthURLParam("prompt", "select_account"))
}

// Redeem exchanges a code for the identity of who signed in to the app. It
// returns [fault.Invalid] if the answer proves nobody, [fault.Expired] if the
// code was too old or used before, [fault.Denied] if Entra refuses our app
// itself, and [fault.Unknown] or [fault.Throttled] if Entra did not answer
// properly.
func (c *Client) Redeem(ctx context.Context, app connection.App, code, verifier, nonce string) (id connection.Identity, err error) {
	defer fault.Wrap(&err, "signin: redeem")
	if !guid.MatchString(app.ID) {
		return id, fault.New(fault.Invalid, "app %q is no GUID", app.ID)
	}
	token, err := c.exchange(ctx, app, code, verifier)
	if err != nil {
		return id, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return id, fault.New(fault.Invalid, "token response holds no id_token")
	}
	return c.identify(ctx, app, raw, nonce)
}

// exchange redeems a code. An app that does not prove itself has not used the
// code up, so that another proof may still do.
func (c *Client) exchange(ctx context.Context, app connection.App, code, verifier string) (*oauth2.Token, error) {
	o := c.of(app)
	for try := 1; ; try++ {
		proof, err := c.prove(ctx, app, o.Endpoint.TokenURL)
		if err != nil {
			return nil, err
		}
		options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
		for k := range proof {
			options = append(options, oauth2.SetAuthURLParam(k, proof.Get(k)))
		}
		token, err := o.Exchange(context.WithValue(ctx, oauth2.HTTPClient, c.http), code, options...)
		if err == nil {
			return token, nil
		}
		f := exchangeFault(err)
		if f.Class != fault.Ours || try == maxProofs || c.refused == nil || !c.refused(ctx, app, proof, f.Code) {
			return nil, f
		}
	}
}

// identify verifies an ID token that was made for the app.
func (c *Client) identify(ctx context.Context, app connection.App, raw, nonce string) (id connection.Identity, err error) {
	// go-oidc drops the kind of a key set's error, so the key set is asked
	// first: "Entra is down" must not read as "this person is a fraud".
	if _, err := c.keys.VerifySignature(ctx, raw); err != nil {
		return id, err
	}
	// The issuer differs per tenant; keySet compares it.
	token, err := oidc.NewVerifier("", c.keys, &oidc.Config{
		ClientID: app.ID, SupportedSigningAlgs: []string{oidc.RS256}, SkipIssuerCheck: true, Now: c.now,
	}).Verify(ctx, raw)
	switch {
	case err != nil:
		return id, fault.New(fault.Invalid, "id_token: %w", err)
	case len(token.Audience) != 1 || token.Audience[0] != app.ID:
		return id, fault.New(fault.Invalid, "id_token: it is for others than app %s too", app.ID)
	case nonce == "" || token.Nonce != nonce:
		return id, fault.New(fault.Invalid, "id_token: the nonce is of another sign-in")
	}
	var claims struct {
		Tenant string   `json:"tid"`
		Object string   `json:"oid"`
		Roles  []string `json:"wids"`
	}
	if err := token.Claims(&claims); err != nil {
		return id, fault.New(fault.Invalid, "id_token: %w", err)
	}
	if !guid.MatchString(claims.Tenant) || !guid.MatchString(claims.Object) {
		return id, fault.New(fault.Invalid, "id_token: tid or oid is no GUID")
	}
	return connection.Identity{Tenant: claims.Tenant, Object: claims.Object, Roles: claims.Roles}, nil
}

// guid is a GUID as Entra writes it.
var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// exchangeFault classifies what the token endpoint answered. Its description
// may name the user, so only the codes are kept.
func exchangeFault(err error) *fault.Error {
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) || re.Response == nil {
		return fault.New(fault.Unknown, "token endpoint: %w", err)
	}
	code := re.ErrorCode
	var body struct {
		Codes []json.Number `json:"error_codes"`
	}
	if json.Unmarshal(re.Body, &body) == nil && len(body.Codes) > 0 {
		code = "AADSTS" + body.Codes[0].String()
	}
	f := fault.New(fault.Unknown, "token endpoint: status %d, %q, %s", re.Response.StatusCode, re.ErrorCode, code).WithCode(code)
	switch {
	case re.Response.StatusCode == http.StatusTooManyRequests:
		f.Kind = fault.Throttled
	case code == wrongVerifier:
		f.Kind = fault.Invalid
	case re.ErrorCode == "invalid_grant":
		f.Kind = fault.Expired
	case re.ErrorCode == "invalid_client" || re.ErrorCode == "unauthorized_client":
		f.Kind, f.Class = fault.Denied, fault.Ours
		f.Remedy = "Check the app registration's credential: Microsoft does not accept it."
	}
	return f
}

// wrongVerifier says that the code belongs to a sign-in that was begun with
// another verifier: somebody else's. Source: Microsoft Entra documentation,
// "Microsoft Entra authentication and authorization error codes".
const wrongVerifier = "AADSTS501481"

var errRedirect = fault.New(fault.Unknown, "unexpected redirect")

// limited cuts bodies off at maxAnswer, whoever reads them.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
