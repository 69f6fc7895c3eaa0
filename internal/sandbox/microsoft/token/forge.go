package token

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// ForgeUnsigned is a token of algorithm none, without signature.
func (k *Keyring) ForgeUnsigned(claims any) (string, error) {
	head, err := json.Marshal(map[string]string{"alg": "none", "typ": "JWT", "kid": k.current().KeyID})
	if err != nil {
		return "", fmt.Errorf("token: forge: %w", err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("token: forge: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body) + ".", nil
}

// ForgeSymmetric is a token of HS256 whose secret everybody knows: the
// published key in PEM. A verifier that lets the token choose the algorithm
// takes it.
func (k *Keyring) ForgeSymmetric(claims any) (string, error) {
	key := k.current()
	der, err := x509.MarshalPKIXPublicKey(key.Public().Key)
	if err != nil {
		return "", fmt.Errorf("token: forge: %w", err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return sign(claims, jose.HS256, jose.JSONWebKey{Key: secret, KeyID: key.KeyID})
}

// ForgeStranger is a token signed by a key that nobody publishes, under its own
// ID or that of the published key.
func (k *Keyring) ForgeStranger(claims any, borrow bool) (string, error) {
	key, err := k.stranger()
	if err != nil {
		return "", fmt.Errorf("token: forge: %w", err)
	}
	if borrow {
		key.KeyID = k.current().KeyID
	}
	return sign(claims, jose.RS256, key)
}

// ForgeTampered is a token whose claims were replaced after it was signed.
func (k *Keyring) ForgeTampered(signed, shown any) (string, error) {
	good, err := k.Sign(signed)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(shown)
	if err != nil {
		return "", fmt.Errorf("token: forge: %w", err)
	}
	parts := strings.Split(good, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString(body)
	return strings.Join(parts, "."), nil
}
