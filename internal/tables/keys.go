package tables

import (
	"fmt"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Kinds of rows of the table directory: what a row key begins with. The lists
// of waiting removals have theirs in [directory.List].
const (
	fenceKey       = "c!" // the whole key: one row a partition
	personPrefix   = "u!"
	teamPrefix     = "t!"
	rosterPrefix   = "m!" // then the team, "!", and the bucket
	licensePrefix  = "l!"
	mailboxPrefix  = "b!"
	positionPrefix = "p!"
	scopePrefix    = "g!" // then the set, "!", and the commit that wrote the row
	seenPrefix     = "s!" // then the enumeration, "!", and the commit
	changesPrefix  = "e!" // then the number of the row's last change
	erasedPrefix   = "k!"
	indexPrefix    = "i!" // then the commit
	shardPrefix    = "q!"
)

func personKey(id string) string                { return personPrefix + id }
func rosterKey(r *directory.Roster) string      { return rosterPrefix + r.Team + "!" + r.Bucket }
func changesKey(last int64) string              { return fmt.Sprintf("%s%019d", changesPrefix, last) }
func indexKey(n int64) string                   { return fmt.Sprintf("%s%019d", indexPrefix, n) }
func setKey(prefix, set string, n int64) string { return fmt.Sprintf("%s%s!%019d", prefix, set, n) }

// spanOf is all keys that begin with prefix, which ends in "!", and go on
// after the given text, or from the first if it is empty.
func spanOf(prefix, after string, limit int) span {
	sp := span{from: prefix, below: endOf(prefix), limit: int32(min(max(limit, 1), maxPage))}
	if after != "" {
		sp.after = prefix + after
	}
	return sp
}

// endOf is the least key after all that begin with prefix, which ends in "!":
// '"' follows it in code order.
func endOf(prefix string) string { return strings.TrimSuffix(prefix, "!") + `"` }

// kindOf is the kind of a row, without the IDs in its key.
func kindOf(rk string) string {
	kind, _, _ := strings.Cut(rk, "!")
	return kind + "!"
}

// checkSet refuses the name of a set that could be taken for another's.
func checkSet(name string) error {
	if name == "" || strings.Contains(name, "!") {
		return fault.New(fault.Invalid, "%q cannot name a set of IDs", name)
	}
	return nil
}
