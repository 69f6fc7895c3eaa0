package consent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Links makes and reads the secure links. A token is base64url of
//
//	version (1 byte) | generation (4) | expiry, Unix seconds (8) | connection ID | HMAC-SHA256 (32)
//
// so it holds no secret, can be read by nobody but us without being altered
// by anybody, and needs no row of its own.
type Links struct {
	base string
	keys [][]byte
}

const (
	linkVersion = 1
	linkHead    = 1 + 4 + 8
	// maxToken is the longest token: a connection ID is 26 characters, and
	// 64 leave room for another scheme.
	maxToken = (linkHead + 64 + sha256.Size) * 4 / 3
	// minKey is the least length of a key in bytes: RFC 2104 discourages keys
	// shorter than the hash.
	minKey = 32
)

// linkDomain keeps a token of this kind from ever meaning anything else that
// the same keys may sign.
var linkDomain = []byte("rollcall/connect-link/1\x00")

// NewLinks returns links below base, such as https://sync.example.com. The
// first key signs, all verify, so that keys can be rotated. It returns
// [fault.Invalid] if there is no key or one is shorter than 32 bytes.
func NewLinks(base string, keys ...[]byte) (Links, error) {
	if len(keys) == 0 {
		return Links{}, fault.New(fault.Invalid, "consent: no link key")
	}
	for i, k := range keys {
		if len(k) < minKey {
			return Links{}, fault.New(fault.Invalid, "consent: link key %d has %d bytes, at least %d", i, len(k), minKey)
		}
	}
	return Links{base: strings.TrimSuffix(base, "/"), keys: slices.Clone(keys)}, nil
}

// URL returns the absolute address of the connection's current link. The same
// connection gives the same address until its link is renewed, revoked or
// signed by a new key.
func (l Links) URL(c connection.Connection) string {
	b := make([]byte, 0, linkHead+len(c.ID)+sha256.Size)
	b = append(b, linkVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Link))
	b = binary.BigEndian.AppendUint64(b, uint64(c.LinkExpires.Unix()))
	b = append(b, c.ID...)
	b = append(b, sign(l.keys[0], b)...)
	return l.base + "/connect/" + base64.RawURLEncoding.EncodeToString(b)
}

// Parse returns what a token stands for. A token that we did not sign is
// [fault.NotFound]; one that is past its time is [fault.Expired] and still
// says whose it was.
func (l Links) Parse(token string, now time.Time) (connectionID string, generation int, err error) {
	if len(token) > maxToken {
		return "", 0, fault.New(fault.NotFound, "link of %d characters", len(token))
	}
	// Strict: a token has one spelling only.
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= linkHead+sha256.Size {
		return "", 0, fault.New(fault.NotFound, "link is malformed")
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	// The MAC comes first: nothing unsigned is interpreted.
	if !l.signed(body, sum) || body[0] != linkVersion {
		return "", 0, fault.New(fault.NotFound, "link is not signed by us")
	}
	generation = int(binary.BigEndian.Uint32(body[1:]))
	expires := time.Unix(int64(binary.BigEndian.Uint64(body[5:])), 0)
	connectionID = string(body[linkHead:])
	if !now.Before(expires) {
		return connectionID, generation, fault.New(fault.Expired, "link expired at %s", expires.UTC().Format(time.RFC3339))
	}
	return connectionID, generation, nil
}

// signed tries every key, so that its time does not tell which one fits.
func (l Links) signed(body, sum []byte) bool {
	ok := false
	for _, k := range l.keys {
		if hmac.Equal(sign(k, body), sum) {
			ok = true
		}
	}
	return ok
}

func sign(key, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(linkDomain)
	m.Write(body)
	return m.Sum(nil)
}
