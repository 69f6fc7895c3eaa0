package repo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kusto answers the alerts' queries of recorded lines of the log, in the little
// of Kusto's language that they use: where, project, and summarize of countif.
// Whatever else a query says is an error, so that none is taken for right.

var (
	equals   = regexp.MustCompile(`^(line\.\w+|\w+) == (?:"([^"]*)"|(\d+))$`)
	oneOf    = regexp.MustCompile(`^(line\.\w+) in \(([^()]*)\)$`)
	counted  = regexp.MustCompile(`(\w+) = countif\(((?:[^()]|\([^()]*\))*)\)`)
	columned = regexp.MustCompile(`^project TimeGenerated, (\w+) = tostring\((line\.\w+)\)$`)
)

// rows are what a query finds, after the part that picks the lines.
func rows(query string, lines []string) ([]map[string]string, error) {
	var all []map[string]string
	for _, l := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(l), &fields); err != nil {
			return nil, err
		}
		row := make(map[string]string)
		for k, v := range fields {
			row["line."+k] = fmt.Sprint(v)
		}
		all = append(all, row)
	}
	for step := range strings.SplitSeq(query, " | ") {
		op, rest, _ := strings.Cut(step, " ")
		var bad error
		switch op {
		case "where":
			all = slices.DeleteFunc(all, func(row map[string]string) bool {
				ok, err := holds(rest, row)
				if err != nil {
					bad = err
				}
				return !ok
			})
		case "project":
			m := columned.FindStringSubmatch(step)
			if m == nil {
				return nil, fmt.Errorf("what does %q project?", step)
			}
			for i, row := range all {
				all[i] = map[string]string{m[1]: row[m[2]]}
			}
		case "summarize":
			ms := counted.FindAllStringSubmatch(rest, -1)
			if len(ms) == 0 || len(strings.Join(flatten(ms), ", ")) != len(rest) {
				return nil, fmt.Errorf("what does %q count?", step)
			}
			sum := make(map[string]string)
			for _, m := range ms {
				n := 0
				for _, row := range all {
					ok, err := holds(m[2], row)
					if err != nil {
						bad = err
					}
					if ok {
						n++
					}
				}
				sum[m[1]] = fmt.Sprint(n)
			}
			all = []map[string]string{sum} // also of nothing
		default:
			return nil, fmt.Errorf("what is %q?", step)
		}
		if bad != nil {
			return nil, bad
		}
	}
	return all, nil
}

func flatten(ms [][]string) (all []string) {
	for _, m := range ms {
		all = append(all, m[0])
	}
	return all
}

// holds reports whether a condition is true of a row.
func holds(condition string, row map[string]string) (bool, error) {
	if parts := strings.Split(condition, " or "); len(parts) > 1 {
		any := false
		for _, p := range parts {
			ok, err := holds(p, row)
			if err != nil {
				return false, err
			}
			any = any || ok
		}
		return any, nil
	}
	for p := range strings.SplitSeq(condition, " and ") {
		ok := false
		if m := equals.FindStringSubmatch(p); m != nil {
			ok = row[m[1]] == m[2]+m[3]
		} else if m := oneOf.FindStringSubmatch(p); m != nil {
			for _, w := range quoted.FindAllStringSubmatch(m[2], -1) {
				ok = ok || row[m[1]] == w[1]
			}
		} else {
			return false, fmt.Errorf("what does %q mean?", p)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// A query that is not understood is no query that finds nothing.
func TestKustoRefuses(t *testing.T) {
	line := []string{`{"msg": "a", "n": 1}`}
	for _, query := range []string{`where line.msg != "a"`, `where line.msg`, `project line.msg`, `summarize count()`, `summarize n = countif(line.msg == "a"), dcount(line.n)`, `top 1 by n`, `summarize n = countif(line.msg > 1)`} {
		if got, err := rows(query, line); err == nil {
			t.Errorf("%s: found %v", query, got)
		}
	}
	got, err := rows(`where line.msg in ("b", "a") and line.n == 1 | summarize n = countif(line.msg == "a"), m = countif(line.msg in ("b")) | where m == 1 or n == 1`, line)
	if err != nil || len(got) != 1 || got[0]["n"] != "1" || got[0]["m"] != "0" {
		t.Errorf("found %v, %v", got, err)
	}
}
