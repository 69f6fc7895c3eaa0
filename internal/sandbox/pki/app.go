package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// AppCertificate is what an app registration proves itself with.
type AppCertificate struct {
	Certificate *x509.Certificate
	Key         *rsa.PrivateKey
	// PEM holds the key and then the certificate, as the secret of a Key Vault
	// certificate does, or as a file.
	PEM []byte
}

// App makes a certificate for an app: signed by itself and of RSA, since the
// sign-in service takes no other keys (documented, "Certificate credentials").
func App(from, until time.Time) (a AppCertificate, err error) {
	if a.Key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return a, fmt.Errorf("pki: app key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return a, fmt.Errorf("pki: app serial: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Rollcall sandbox app"},
		NotBefore:    from,
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.Key.PublicKey, a.Key)
	if err == nil {
		a.Certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		return a, fmt.Errorf("pki: app certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		return a, fmt.Errorf("pki: app key: %w", err)
	}
	a.PEM = bytes.Join([][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil)
	return a, nil
}
