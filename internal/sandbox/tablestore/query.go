package tablestore

import (
	"net/url"
	"strconv"
	"strings"
)

// Limits of a query. Azure Tables, "Querying tables and entities" and "Query
// Entities" (documented); that their code is InvalidInput is (inferred).
const (
	maxTop         = 1000
	maxComparisons = 15
)

func checkQuery(v url.Values) *storageError {
	if top := v.Get("$top"); top != "" {
		if n, err := strconv.Atoi(top); err == nil && (n > maxTop || n < 0) {
			return bad("InvalidInput", "One of the request inputs is not valid: $top must be between 0 and %d.", maxTop)
		}
	}
	if n := comparisons(v.Get("$filter")); n > maxComparisons {
		return bad("InvalidInput", "One of the request inputs is not valid: $filter has %d comparisons, and %d are permitted.", n, maxComparisons)
	}
	return nil
}

// comparisons counts the comparison operators outside string literals.
func comparisons(filter string) int {
	n := 0
	for i, part := range strings.Split(filter, "'") {
		if i%2 == 1 { // inside a literal; a doubled quote leaves an empty part outside
			continue
		}
		for _, word := range strings.FieldsFunc(part, func(r rune) bool { return r == ' ' || r == '\t' || r == '(' || r == ')' }) {
			switch word {
			case "eq", "ne", "gt", "ge", "lt", "le":
				n++
			}
		}
	}
	return n
}
