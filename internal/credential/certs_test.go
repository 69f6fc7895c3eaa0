package credential

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// certificates are those that the tests made, by thumbprint in Microsoft's form.
var certificates sync.Map

// signedBy verifies a certificate's assertion and returns its thumbprint.
func signedBy(t *testing.T, compact, app, endpoint string) string {
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.PS256})
	if err != nil {
		return "junk"
	}
	head, _, _ := strings.Cut(compact, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(head)
	var h struct {
		X5T string `json:"x5t#S256"`
	}
	_ = json.Unmarshal(raw, &h)
	// MSAL writes the standard alphabet with padding.
	name := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(h.X5T)
	cert, ok := certificates.Load(name)
	if !ok {
		t.Errorf("x5t#S256 %q names no certificate", h.X5T)
		return "unknown"
	}
	body, err := jws.Verify(cert.(*x509.Certificate).PublicKey)
	var c struct {
		Aud, Iss, Sub, JTI string
		NBF, Exp           int64
	}
	if err != nil || json.Unmarshal(body, &c) != nil {
		return "forged"
	}
	if c.Aud != endpoint || c.Iss != app || c.Sub != app || len(c.JTI) < 16 || c.Exp-c.NBF > 600 || c.Exp <= c.NBF {
		t.Errorf("assertion %s for app %s at %s", body, app, endpoint)
	}
	return name
}

// keys are made once: RSA is slow.
var keys = []func() *rsa.PrivateKey{sync.OnceValue(newKey), sync.OnceValue(newKey), sync.OnceValue(newKey)}

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// certificate is a certificate of the nth key as PEM and its thumbprint.
func certificate(t testing.TB, n int, expires time.Time) (text, thumbprint string) {
	t.Helper()
	return selfSigned(t, keys[n](), expires)
}

func selfSigned(t testing.TB, key *rsa.PrivateKey, expires time.Time) (text, thumbprint string) {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	tmpl := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "app"}, NotBefore: expires.AddDate(-1, 0, 0), NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	sum := sha256.Sum256(der)
	thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	certificates.Store(thumbprint, cert)
	return pemOf(t, key) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), thumbprint
}

// pemOf is a private key as PEM.
func pemOf(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
