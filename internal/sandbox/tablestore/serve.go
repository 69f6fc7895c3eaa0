package tablestore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"rollcall/internal/sandbox/pki"
)

// Address is where a store is found. It is always written as https, since the
// SDK sends tokens to nothing else, whatever its options.
type Address struct {
	URL   string `json:"url"`
	Token string `json:"token"`        // that the store accepts, unless it has an Authorize
	CA    []byte `json:"ca,omitempty"` // PEM; nothing if the store is plain
}

// Transport reaches the store: it trusts the CA, or without one leaves out TLS.
func (a Address) Transport() *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: 64}
	if a.CA == nil {
		t.DialTLSContext = new(net.Dialer).DialContext
		return t
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.CA)
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t
}

// Credential always gives the token.
func (a Address) Credential() azcore.TokenCredential { return staticToken(a.Token) }

// Serve runs a store for as long as the context does, for a process that does
// nothing else, and writes its [Address] to out as one line of JSON once it
// listens. Without a CA it makes one.
func Serve(ctx context.Context, o Options, out io.Writer) error {
	if o.CA == nil && !o.Plain {
		ca, err := pki.New()
		if err != nil {
			return fmt.Errorf("tablestore: %w", err)
		}
		o.CA = ca
	}
	s, err := Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if err := json.NewEncoder(out).Encode(s.Address()); err != nil {
		return fmt.Errorf("tablestore: announce: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			debug.SetGCPercent(gcPercent(live()))
		}
	}
}

// live is the size of what the last garbage collection has left, in bytes.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// gcPercent lets the heap grow by 32 MiB between two collections, or by a tenth
// of a large one: memory is then close to what is stored, and a small store
// does not collect all the time.
func gcPercent(live uint64) int {
	return min(max(10, int(100*(32<<20)/max(live, 1))), 1000)
}
