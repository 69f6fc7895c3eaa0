package graph

import (
	"errors"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// The kinds of link tokens.
const (
	skipLink  = "s" // within a delta round
	deltaLink = "d" // between rounds
	listLink  = "l" // within a plain list; with more after it, within that list only

	groupSkipLink  = "gs"
	groupDeltaLink = "gd"

	goneLink = listLink + "gone" // within deleted items
)

// link is what a token in a nextLink or deltaLink holds: the reader's place
// and the options of the first request, which later ones cannot change.
type link struct {
	Kind     string            `json:"k"`
	Tenant   string            `json:"t"`
	Epoch    uint64            `json:"e"`
	Track    tenant.Props      `json:"p"`
	Groups   tenant.GroupProps `json:"g,omitempty"`
	Selected bool              `json:"s"`
	Cursor   tenant.Cursor     `json:"c"`
	Issued   int64             `json:"i"`
}

// deltaLife is how long a delta token of directory objects lives (documented,
// "Use delta query to track changes").
const deltaLife = 7 * 24 * time.Hour

// maxLinkToken bounds what open looks at, in bytes.
const maxLinkToken = 4096

var (
	errToken     = errors.New("badly formed token")
	errForgotten = errors.New("sync state was reset")
	errExpired   = errors.New("sync state has expired")
)

// close makes the opaque token of a link, a new one each time.
func (s *Server) close(l link) string {
	l.Issued = s.Now().Unix()
	return s.sealed(l)
}

// open reads a token of this server, kind and tenant.
func (s *Server) open(tok, kind string, t *tenant.Tenant) (link, error) {
	var l link
	if !s.unseal(tok, &l) {
		return link{}, errToken
	}
	switch {
	case l.Kind != kind || l.Tenant != t.ID:
		return l, errToken
	case strings.HasPrefix(kind, listLink):
		return l, nil
	case l.Epoch != t.Epoch():
		return l, errForgotten
	case s.Now().Sub(time.Unix(l.Issued, 0)) > deltaLife:
		return l, errExpired
	}
	return l, nil
}
