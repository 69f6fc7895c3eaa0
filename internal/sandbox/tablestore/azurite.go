package tablestore

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/sandbox/host/child"
	"rollcall/internal/sandbox/pki"
)

// account is the only account that Azurite has by default.
const account = "devstoreaccount1"

// listening matches the line in which Azurite tells the port that the system
// chose for its table service.
var listening = regexp.MustCompile(`Azurite Table service is successfully listening at (https://127\.0\.0\.1:\d+)`)

// azurite is one running Azurite with everything in memory.
type azurite struct {
	url      string // https://127.0.0.1:P
	proc     *child.Process
	dir      string // certificate, key and working directory
	upstream *http.Client
	token    string
}

// startAzurite returns once the table service listens.
func startAzurite(ctx context.Context, ca *pki.CA, nodeModules, token string, log io.Writer) (a *azurite, err error) {
	script, err := filepath.Abs(filepath.Join(nodeModules, "azurite", "dist", "src", "azurite.js"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(script); err != nil {
		return nil, fmt.Errorf("azurite is not installed (npm ci): %w", err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rollcall-azurite-")
	if err != nil {
		return nil, err
	}
	a = &azurite{dir: dir, token: token, upstream: &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 64,
		// Azurite closes an idle connection after 5 s; a POST sent into that moment would be lost.
		IdleConnTimeout: 2 * time.Second,
	}}}
	defer func() {
		if err != nil {
			a.stop()
		}
	}()
	certFile, keyFile, err := writeCert(dir, ca)
	if err != nil {
		return nil, err
	}
	out := &announcement{log: log, found: make(chan string, 1)}
	// The script itself, not npx: a wrapper would be the process that we hold.
	a.proc, err = child.Start(child.Command{
		Path: node,
		Args: []string{script, "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence",
			"--blobHost", "127.0.0.1", "--queueHost", "127.0.0.1", "--tableHost", "127.0.0.1",
			"--blobPort", "0", "--queuePort", "0", "--tablePort", "0",
			"--oauth", "basic", "--cert", certFile, "--key", keyFile},
		Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, Stdout: out, Stderr: out,
	})
	if err != nil {
		return nil, err
	}
	select {
	case a.url = <-out.found:
		return a, nil
	case <-a.proc.Done():
		code, _ := a.proc.Wait()
		return nil, fmt.Errorf("azurite ended with exit code %d before it listened: %s", code, out.tail())
	case <-ctx.Done():
		return nil, fmt.Errorf("azurite did not listen: %w", ctx.Err())
	}
}

// hopHeaders belong to one connection (RFC 9110, 7.6.1).
var hopHeaders = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// do forwards a request to Azurite.
func (a *azurite) do(ctx context.Context, c call) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, c.Method, a.url+c.target, strings.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	req.Header = c.Header.Clone()
	for _, h := range hopHeaders {
		req.Header.Del(h)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Host = c.Host // links in answers name the proxy
	resp, err := a.upstream.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	for _, h := range append(hopHeaders, "Content-Length") {
		resp.Header.Del(h)
	}
	return &answer{resp.StatusCode, resp.Header, b}, nil
}

func (a *azurite) client() (*aztables.ServiceClient, error) {
	return aztables.NewServiceClient(a.url+"/"+account, staticToken(a.token),
		&aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: a.upstream, Retry: policy.RetryOptions{MaxRetries: -1},
		}})
}

// stop kills Azurite, which has nothing to save, and waits for its end.
func (a *azurite) stop() {
	a.upstream.CloseIdleConnections()
	if a.proc != nil {
		_ = a.proc.Kill()
		_, _ = a.proc.Wait()
	}
	_ = os.RemoveAll(a.dir)
}

func writeCert(dir string, ca *pki.CA) (certFile, keyFile string, err error) {
	cert, err := ca.Issue()
	if err != nil {
		return "", "", err
	}
	certPEM, keyPEM, err := pki.WritePEM(cert)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, keyPEM, 0o600)
}

// announcement passes output on and looks for the listening line in it.
type announcement struct {
	mu    sync.Mutex
	log   io.Writer
	buf   []byte // until found, at most maxAnnouncement
	found chan string
	told  bool
}

// maxAnnouncement bounds what is kept of the output, in bytes.
const maxAnnouncement = 16 << 10

func (a *announcement) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.log != nil {
		_, _ = a.log.Write(p)
	}
	if a.told || len(a.buf) > maxAnnouncement {
		return len(p), nil
	}
	a.buf = append(a.buf, p...)
	if m := listening.FindSubmatch(a.buf); m != nil {
		a.told = true
		a.found <- string(m[1])
	}
	return len(p), nil
}

func (a *announcement) tail() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return string(a.buf)
}
