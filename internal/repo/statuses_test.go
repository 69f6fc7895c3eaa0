package repo

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

var update = flag.Bool("update", false, "rewrite the generated parts of docs/statuses.md")

const (
	drawingBegin = "<!-- statuses: drawn from the code -->\n"
	drawingEnd   = "<!-- end of statuses -->\n"
)

// The order in which a life goes, for the drawing.
var life = []connection.Status{
	connection.Invited, connection.Consenting, connection.Connected, connection.OK, connection.Held, connection.Degraded,
	connection.Failed, connection.Disconnected, connection.Paused, connection.Offboarded,
}

// followers are the statuses that may follow s, shown ones included.
func followers(s connection.Status) []connection.Status {
	switch s {
	case connection.Syncing:
		return []connection.Status{connection.Throttled, connection.OK, connection.Held, connection.Degraded, connection.Failed, connection.Disconnected, connection.Paused, connection.Offboarded}
	case connection.Throttled:
		return []connection.Status{connection.Syncing, connection.Failed, connection.Paused, connection.Offboarded}
	}
	after := slices.Clone(connection.Transitions[s])
	// A run may open in every status that lives; ask the code which.
	c := connection.Connection{Status: s, Verified: time.Unix(1, 0)}
	if c.Standing(true, false) == connection.Syncing {
		after = append(after, connection.Syncing)
	}
	return after
}

// The document tells every status, and what may follow it, as the code has it.
func TestStatusesAreDrawn(t *testing.T) {
	if len(life) != len(connection.Transitions) {
		t.Fatalf("%d statuses are drawn, %d have transitions", len(life), len(connection.Transitions))
	}
	var drawing strings.Builder
	drawing.WriteString("\n```mermaid\nstateDiagram-v2\n    [*] --> invited\n")
	for _, s := range append(slices.Clone(life), connection.Syncing, connection.Throttled) {
		for _, next := range followers(s) {
			drawing.WriteString("    " + string(s) + " --> " + string(next) + "\n")
		}
	}
	drawing.WriteString("    offboarded --> [*]\n```\n\n")

	path := filepath.Join(root, "docs/statuses.md")
	doc := read(t, "docs/statuses.md")
	before, rest, ok := strings.Cut(doc, drawingBegin)
	_, after, ok2 := strings.Cut(rest, drawingEnd)
	if !ok || !ok2 {
		t.Fatal("docs/statuses.md has no place for the drawing")
	}
	rows := map[string]bool{}
	lines := strings.Split(after, "\n")
	for i, line := range lines {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		s := connection.Status(strings.Trim(cells[1], " `"))
		rows[string(s)] = true
		var next []string
		for _, n := range followers(s) {
			next = append(next, "`"+string(n)+"`")
		}
		cells[4] = " " + strings.Join(next, ", ") + " "
		if len(next) == 0 {
			cells[4] = " nothing "
		}
		lines[i] = strings.Join(cells, "|")
		if strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s: nothing is said of it", s)
		}
	}
	for s := range maps.Keys(connection.Transitions) {
		if !rows[string(s)] {
			t.Errorf("%s has no row", s)
		}
	}
	if !rows["syncing"] || !rows["throttled"] || len(rows) != len(connection.Transitions)+2 {
		t.Errorf("rows of %d statuses", len(rows))
	}
	want := before + drawingBegin + drawing.String() + drawingEnd + strings.Join(lines, "\n")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != doc {
		t.Error("docs/statuses.md is not what internal/connection says: run go test ./internal/repo -update")
	}
}
