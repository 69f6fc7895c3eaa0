package repo

import (
	"slices"
	"strings"
	"testing"
)

// Each runbook has its alert, and each alert its runbook; what the alerts look
// for is what the code logs.
func TestAlertsAreTrue(t *testing.T) {
	f := bicepFiles(t)["modules/alerts.bicep"]
	if f == nil {
		t.Fatal("there is no infra/modules/alerts.bicep")
	}
	messages, keys := logged(t)
	// The queue's dead letters are Service Bus' to count.
	alerts := []string{strings.TrimPrefix(literals(f, "deadLetters")["name"], "${}-")}
	if got, want := literals(f, "deadLetters")["properties.description"], "What to do: docs/runbooks/"+alerts[0]+".md"; got != want {
		t.Errorf("the alert on dead letters says %q, want %q", got, want)
	}
	if got := literals(f, "rule")["properties.description"]; got != "What to do: docs/runbooks/${}.md" {
		t.Errorf("the alerts on the log say %q", got)
	}
	told := 0
	for _, r := range f.vars["rules"].value.Nodes {
		if r.Type != "object" {
			continue
		}
		name, query := literal(property(r, "suffix")), literal(property(r, "query"))
		alerts = append(alerts, name)
		if every, window := literal(property(r, "every")), literal(property(r, "window")); duration(t, every) > duration(t, window) {
			t.Errorf("%s: looks every %s at the last %s: lines are missed", name, every, window)
		}
		_, about, ok := strings.Cut(query, "line.msg ")
		if !ok || !strings.HasPrefix(query, "${} | where ") {
			t.Errorf("%s: asks for no message: %s", name, query)
		}
		about, _, _ = strings.Cut(about, " and ")
		about, _, _ = strings.Cut(about, " | ")
		for _, m := range quoted.FindAllStringSubmatch(about, -1) {
			told++
			if !messages[m[1]] {
				t.Errorf("%s: nothing logs %q", name, m[1])
			}
		}
		for _, m := range lineKey.FindAllStringSubmatch(query, -1) {
			if !keys[m[1]] {
				t.Errorf("%s: no line of the log has the key %s", name, m[1])
			}
		}
	}
	var books []string
	for path := range papers(t, "docs/runbooks/*.md") {
		if book := strings.TrimSuffix(strings.TrimPrefix(path, "docs/runbooks/"), ".md"); book != "README" {
			books = append(books, book)
		}
	}
	slices.Sort(alerts)
	slices.Sort(books)
	if !slices.Equal(alerts, books) || told < 6 {
		t.Errorf("alerts %v on %d messages, runbooks %v", alerts, told, books)
	}
}

// duration reads PT30M and PT6H, in minutes.
func duration(t *testing.T, s string) int {
	t.Helper()
	if hours, ok := strings.CutSuffix(s, "H"); ok {
		return 60 * int(iso(t, hours+"M").Minutes())
	}
	return int(iso(t, s).Minutes())
}
