package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// A continuation names the place at which a list goes on: base64url of a
// version byte, the list, the connection and the store's cursor, each ended
// by a zero byte, and eight bytes of their hash. The hash finds a token that
// was cut, edited or mixed up; it keeps nobody out, and need not: a forged
// cursor lists nothing that the caller's key does not let him list anyway.
const (
	tokenVersion = 1
	tokenSum     = 8
	// maxToken bounds the characters of a token; a cursor is at most two keys
	// of our tables, well below 300 bytes.
	maxToken = 512
)

// The lists that continue.
const (
	listConnections = "connections"
	listRuns        = "runs"
	listPeople      = "people"
	listRemovals    = "removals"
	listTeams       = "teams"
	listMembers     = "members"
	listPositions   = "positions"
	listMailboxes   = "mailboxes"
	listAudit       = "audit"
	listDeadLetters = "dead-letters"
	listRequeue     = "requeue-all"
)

// continuation returns the token for the cursor after, "" for none.
func continuation(list, connection, after string) string {
	if after == "" {
		return ""
	}
	b := append([]byte{tokenVersion}, strings.Join([]string{list, connection, after, ""}, "\x00")...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:tokenSum]...))
}

// resume returns the cursor in a token of the same list of the same
// connection; "" stands for the start.
func resume(list, connection, token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	bad := func(detail string) (string, error) {
		return "", problem(codeContinuation, "%s", detail).at("query.continuation", "expected a continuation of this list")
	}
	const damaged = "The continuation is damaged."
	if len(token) > maxToken {
		return bad(damaged)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= tokenSum {
		return bad(damaged)
	}
	body, sum := b[:len(b)-tokenSum], b[len(b)-tokenSum:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:tokenSum]) {
		return bad(damaged)
	}
	if body[0] != tokenVersion {
		return bad("The continuation is of another version of the service.")
	}
	parts := strings.Split(string(body[1:]), "\x00")
	if len(parts) != 4 || parts[2] == "" || parts[3] != "" {
		return bad(damaged)
	}
	for _, c := range []byte(parts[2]) {
		if c < ' ' || c > '~' {
			return bad(damaged)
		}
	}
	if parts[0] != list || parts[1] != connection {
		return bad("The continuation belongs to another list.")
	}
	return parts[2], nil
}
