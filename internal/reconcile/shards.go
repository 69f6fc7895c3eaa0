package reconcile

import (
	"encoding/hex"
	"strings"

	"rollcall/internal/directory"
)

// alphabet is what a user principal name can consist of before its domain, what
// is common first: a long shard is better begun early. Source: Microsoft Entra
// documentation, "UserPrincipalName policies".
const alphabet = "smajcdbrlkptehngfwvioyzuqx0123456789.-_'!#^~"

// deal shares out the letters, which are in the order of how common they are,
// so that all shares are about as common: to and fro, as captains choose teams.
func deal(letters string, n int) []string {
	n = min(n, len(letters))
	shares := make([]string, n)
	for i := range len(letters) {
		at := i % n
		if i/n%2 == 1 {
			at = n - 1 - at
		}
		shares[at] += letters[i : i+1]
	}
	return shares
}

// leastShares keeps a share below the ten letters that Graph has refused to join
// by or in some places, and the fifteen in others. Source: issue 21098 of
// microsoftgraph/microsoft-graph-docs.
const leastShares = 5

// shares are the letters as a list with so many lanes shares them out.
func shares(letters string, lanes int) []string { return deal(letters, max(lanes, leastShares)) }

// A shard's name is what its people's names begin with, in hex: not all of the
// characters can be in a row's key.
func shardName(prefixes []string) string {
	names := make([]string, len(prefixes))
	for i, p := range prefixes {
		names[i] = hex.EncodeToString([]byte(p))
	}
	return strings.Join(names, "-")
}

func prefixesOf(s *directory.Shard) []string {
	names := strings.Split(s.Name, "-")
	for i, n := range names {
		b, _ := hex.DecodeString(n) // as shardName has made it
		names[i] = string(b)
	}
	return names
}
