package vault

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// ErrInvalid is wrapped when a secret cannot be stored; ErrNotFound when there
// is none of that name or version.
var (
	ErrInvalid  = errors.New("invalid secret")
	ErrNotFound = errors.New("no such secret")
)

// Options are what a version holds besides its value. The times are carried,
// not enforced: Key Vault hands out an expired secret too (documented, "About
// Key Vault secrets").
type Options struct {
	// ContentType of a certificate's secret is [PKCS12], with a value in
	// Base64, or [PEM], with key and certificates.
	ContentType string `json:"contentType"`
	Disabled    bool   `json:"disabled"`
	// Expires and NotBefore are zero if there is no such limit.
	Expires   time.Time `json:"expires,omitzero"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Managed marks the secret of a certificate object.
	Managed bool              `json:"managed"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// The content types of certificates (documented, "About Azure Key Vault
// certificates").
const (
	PKCS12 = "application/x-pkcs12"
	PEM    = "application/x-pem-file"
)

// secret is one name; the newest version is the last.
type secret struct {
	versions []version
	deleted  time.Time // zero while it is there
}

type version struct {
	Options
	id               string
	value            string
	created, updated time.Time
}

var (
	nameForm    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	versionForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// maxValue is the most that a secret holds, in bytes (documented, "About Key
// Vault secrets").
const maxValue = 25 << 10

// Set makes a new version of a secret and returns its ID. A deleted secret
// begins anew.
func (s *Server) Set(name, value string, o Options) (id string, err error) {
	if !nameForm.MatchString(name) {
		return "", fmt.Errorf("vault: set: name %.64q: %w: want letters, digits and hyphens", name, ErrInvalid)
	}
	if len(value) > maxValue {
		return "", fmt.Errorf("vault: set %s: %w: longer than %d bytes", name, ErrInvalid, maxValue)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	now := s.Now()
	v := version{Options: o, id: hex.EncodeToString(b[:]), value: value, created: now, updated: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.secrets[name]
	if sec == nil || !sec.deleted.IsZero() {
		sec = &secret{}
		s.secrets[name] = sec
	}
	sec.versions = append(sec.versions, v)
	return v.id, nil
}

// Update replaces what a version holds besides its value; the newest one if
// version is empty.
func (s *Server) Update(name, id string, o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.live(name)
	if sec == nil {
		return fmt.Errorf("vault: update %.64s: %w", name, ErrNotFound)
	}
	i := sec.find(id)
	if i < 0 {
		return fmt.Errorf("vault: update %.64s: version %.64s: %w", name, id, ErrNotFound)
	}
	sec.versions[i].Options, sec.versions[i].updated = o, s.Now()
	return nil
}

// Purge removes a secret with all its versions, for good.
func (s *Server) Purge(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, name)
}

// Names lists the secrets that are not deleted.
func (s *Server) Names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, sec := range s.secrets {
		if sec.deleted.IsZero() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// live is a secret that is not deleted, or nil.
func (s *Server) live(name string) *secret {
	if sec := s.secrets[name]; sec != nil && sec.deleted.IsZero() {
		return sec
	}
	return nil
}

// find is the position of a version, of the newest one for an empty ID, or -1.
func (sec *secret) find(id string) int {
	if id == "" {
		return len(sec.versions) - 1
	}
	return slices.IndexFunc(sec.versions, func(v version) bool { return v.id == id })
}
