package credential

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/fault"
)

const (
	// maxProof bounds a credential in bytes: Key Vault's own limit is 25 KiB.
	// Source: Azure Key Vault documentation, "About secrets".
	maxProof = 64 << 10
	// minBits is the shortest key that is taken. Source: NIST SP 800-131A.
	minBits = 2048
)

// Whatever is wrong with a credential, what it holds is not repeated.
const (
	certificateRemedy = "Use a certificate with its RSA private key, of 2048 bits or more and without a password, in PEM or PKCS #12; if PKCS #12 is refused, in PEM."
	secretRemedy      = "Store the client secret's value itself, as Microsoft showed it once, without quotes or spaces."
)

// parseSecret reads a client secret.
func parseSecret(value, _ string) (proof, error) {
	if !isSecret(value) {
		return proof{}, fault.New(fault.Invalid, "no client secret").WithRemedy(secretRemedy)
	}
	return proof{secret: value}, nil
}

// isSecret reports whether s can be a client secret: some printable ASCII
// without spaces. Entra's have about 40 characters.
func isSecret(s string) bool {
	return len(s) >= 8 && len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// parseCertificate reads a certificate as Key Vault gives it: PEM, or PKCS #12
// in base 64. Source: Azure Key Vault documentation, "About certificates",
// addressable key and secret.
func parseCertificate(value, _ string) (proof, error) {
	raw := []byte(value)
	if !strings.Contains(value, "-----BEGIN") {
		var err error
		if raw, err = base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err != nil {
			return proof{}, fault.New(fault.Invalid, "neither PEM nor base 64").WithRemedy(certificateRemedy)
		}
	}
	return readCertificate(raw)
}

// readCertificate reads PEM or PKCS #12.
func readCertificate(raw []byte) (proof, error) {
	bad := func(why string) (proof, error) {
		return proof{}, fault.New(fault.Invalid, "certificate: %s", why).WithRemedy(certificateRemedy)
	}
	if len(raw) > maxProof {
		return bad("too large")
	}
	certs, key, err := azidentity.ParseCertificates(raw, nil)
	if err != nil {
		return bad("neither PEM nor PKCS #12 with one certificate and its key")
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() < minBits {
		return bad("the key is not RSA of 2048 bits or more")
	}
	i := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return private.PublicKey.Equal(c.PublicKey) })
	if i < 0 {
		return bad("the key is not the certificate's")
	}
	leaf := certs[i]
	certs = slices.Insert(slices.Delete(certs, i, i+1), 0, leaf)
	sum := sha256.Sum256(leaf.Raw)
	return proof{version: hex.EncodeToString(sum[:8]), certs: certs, key: private, expires: leaf.NotAfter}, nil
}

// loadFiles reads certificate files, newest first.
func loadFiles(paths []string) func(context.Context, []proof) ([]proof, error) {
	return func(context.Context, []proof) (ps []proof, err error) {
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fault.New(fault.Invalid, "certificate file: %w", err)
			}
			p, err := readCertificate(raw)
			if err != nil {
				return nil, fault.New(fault.Invalid, "%s: %w", path, err).WithRemedy(certificateRemedy)
			}
			p.file = path
			ps = append(ps, p)
		}
		return ps, nil
	}
}
