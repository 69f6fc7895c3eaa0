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
	// AppID is the client ID of the app registration, and Callback the
	// redirect address that it names.
	AppID, Callback string
	// Assertion returns the signed statement by which the app proves itself
	// at the token endpoint (RFC 7523).
	Assertion func(context.Context) (string, error)
	// Transport carries the requests; nil means [http.DefaultTransport].
	Transport http.RoundTripper
	Now       func() time.Time
}

// Client signs people in at the endpoint for work and school accounts of any
// tenant. It is safe for concurrent use.
type Client struct {
	oauth     oauth2.Config
	assertion func(context.Context) (string, error)
	http      *http.Client
	keys      *keySet
	verifier  *oidc.IDTokenVerifier
}

const (
	// exchangeTime bounds one request to Entra.
	exchangeTime = 20 * time.Second
	// maxAnswer bounds a response body in bytes. Entra's key list has about
	// 20 KiB, a token response about 10 KiB.
	maxAnswer = 1 << 20
)

// assertionType is the client_assertion_type of a JWT (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

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
			ClientID:    c.AppID,
			RedirectURL: c.Callback,
			// profile brings oid (documented: ID token claims, oid).
			Scopes: []string{oidc.ScopeOpenID, "profile"},
			Endpoint: oauth2.Endpoint{
				AuthURL:   base + "/oauth2/v2.0/authorize",
				TokenURL:  base + "/oauth2/v2.0/token",
				AuthStyle: oauth2.AuthStyleInParams,
			},
		},
		assertion: c.Assertion,
		http:      hc,
		keys:      keys,
		// The issuer differs per tenant; keySet compares it.
		verifier: oidc.NewVerifier("", keys, &oidc.Config{
			ClientID:             c.AppID,
			SupportedSigningAlgs: []string{oidc.RS256},
			SkipIssuerCheck:      true,
			Now:                  c.Now,
		}),
	}
}

// AuthURL is where to send a browser to sign in. The answer comes back in the
// query, because a cookie with SameSite=Lax accompanies a GET only.
func (c *Client) AuthURL(state, nonce, verifier string) string {
	return c.oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("response_mode", "query"),
		oauth2.SetAuthURLParam("prompt", "select_account"))
}

// Redeem exchanges a code for the identity of who signed in. It returns
// [fault.Invalid] if the answer proves nobody, [fault.Expired] if the code was
// too old or used before, [fault.Denied] if Entra refuses our app itself, and
// [fault.Unknown] or [fault.Throttled] if Entra did not answer properly.
func (c *Client) Redeem(ctx context.Context, code, verifier, nonce string) (id connection.Identity, err error) {
	defer fault.Wrap(&err, "signin: redeem")
	assertion, err := c.assertion(ctx)
	if err != nil {
		return id, err
	}
	token, err := c.oauth.Exchange(context.WithValue(ctx, oauth2.HTTPClient, c.http), code,
		oauth2.VerifierOption(verifier),
		oauth2.SetAuthURLParam("client_assertion_type", assertionType),
		oauth2.SetAuthURLParam("client_assertion", assertion))
	if err != nil {
		return id, exchangeFault(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return id, fault.New(fault.Invalid, "token response holds no id_token")
	}
	return c.identify(ctx, raw, nonce)
}

// identify verifies an ID token.
func (c *Client) identify(ctx context.Context, raw, nonce string) (id connection.Identity, err error) {
	// go-oidc drops the kind of a key set's error, so the key set is asked
	// first: "Entra is down" must not read as "this person is a fraud".
	if _, err := c.keys.VerifySignature(ctx, raw); err != nil {
		return id, err
	}
	token, err := c.verifier.Verify(ctx, raw)
	switch {
	case err != nil:
		return id, fault.New(fault.Invalid, "id_token: %w", err)
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
func exchangeFault(err error) error {
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
		f.Kind = fault.Denied
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
