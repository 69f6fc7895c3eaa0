// Package wires is how the sides of a benchmark reach its servers: all by the
// same transport, so that no side is faster for its connections.
package wires

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// Servers says where they are.
type Servers struct {
	// Graph and Tables are their addresses, which begin with https.
	Graph, Tables string
	// Plain is true if what answers there speaks HTTP without TLS all the same:
	// encryption is not what is compared, and the clients take no other address.
	Plain bool
	// Sink takes what is posted to it and keeps nothing.
	Sink string
	// Roots are the certificates to trust, in PEM.
	Roots string
}

// Transport is a new one, without connections.
func (s Servers) Transport() (*http.Transport, error) {
	roots := x509.NewCertPool()
	if s.Roots != "" && !roots.AppendCertsFromPEM([]byte(s.Roots)) {
		return nil, errors.New("no certificates in the roots")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 2048, 1024
	t.ForceAttemptHTTP2 = false
	secure := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.TLSClientConfig = secure
	if s.Plain {
		t.DialTLSContext = new(net.Dialer).DialContext
	}
	return t, nil
}

// Token is a credential that needs nobody.
type Token struct{}

// GetToken implements azcore.TokenCredential.
func (Token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "bench", ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

// Client is an aztables client over the transport, with the retries that the
// handler has.
func (s Servers) Client(t http.RoundTripper) *aztables.ClientOptions {
	return &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: t},
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: 200 * time.Millisecond},
	}}
}

// Made is a client of a table that exists.
func (s Servers) Made(t http.RoundTripper, name string) (*aztables.Client, error) {
	svc, err := aztables.NewServiceClient(s.Tables, Token{}, s.Client(t))
	if err != nil {
		return nil, err
	}
	return svc.NewClient(name), nil
}

// Table is a client of one table, which exists afterwards.
func (s Servers) Table(t http.RoundTripper, name string) (*aztables.Client, error) {
	c, err := s.Made(t, name)
	if err != nil {
		return nil, err
	}
	_, err = c.CreateTable(context.Background(), nil)
	if re, ok := errors.AsType[*azcore.ResponseError](err); ok && re.ErrorCode == "TableAlreadyExists" {
		err = nil
	}
	return c, err
}
