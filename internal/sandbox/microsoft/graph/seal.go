package graph

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
)

// sealed makes an opaque token of v, a new one each time.
func (s *Server) sealed(v any) string {
	plain, err := json.Marshal(v)
	if err != nil { // numbers and strings always marshal
		return ""
	}
	nonce := make([]byte, s.seal.NonceSize())
	if _, err := rand.Read(nonce); err != nil { // never fails since Go 1.24
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(s.seal.Seal(nonce, nonce, plain, nil))
}

// unseal reads a token of this server into v.
func (s *Server) unseal(tok string, v any) bool {
	if len(tok) > maxLinkToken {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(tok)
	n := s.seal.NonceSize()
	if err != nil || len(raw) < n {
		return false
	}
	plain, err := s.seal.Open(nil, raw[:n], raw[n:], nil)
	return err == nil && json.Unmarshal(plain, v) == nil
}
