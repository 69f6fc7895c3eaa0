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
		told += checkQuery(t, name, query, messages, keys)
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

// checkQuery holds a query of the log against what the code logs, and returns
// how many messages it asks for.
func checkQuery(t *testing.T, name, query string, messages, keys map[string]bool) (told int) {
	t.Helper()
	if !strings.HasPrefix(query, "${} | where line.") {
		t.Errorf("%s: asks for no line: %s", name, query)
	}
	if _, about, ok := strings.Cut(query, "where line.msg "); ok {
		about, _, _ = strings.Cut(about, " and ")
		about, _, _ = strings.Cut(about, " | ")
		for _, m := range quoted.FindAllStringSubmatch(about, -1) {
			told++
			if !messages[m[1]] {
				t.Errorf("%s: nothing logs %q", name, m[1])
			}
		}
	}
	for _, m := range lineKey.FindAllStringSubmatch(query, -1) {
		if !keys[m[1]] {
			t.Errorf("%s: no line of the log has the key %s", name, m[1])
		}
	}
	return told
}

// The workbook shows what the code logs, of the lines that the alerts look for.
func TestWorkbookIsTrue(t *testing.T) {
	all := bicepFiles(t)
	f := all["modules/workbook.bicep"]
	if f == nil {
		t.Fatal("there is no infra/modules/workbook.bicep")
	}
	if line := literal(f.vars["line"].value); line != literal(all["modules/alerts.bicep"].vars["line"].value) {
		t.Errorf("the workbook looks at other lines than the alerts: %s", line)
	}
	messages, keys := logged(t)
	told := 0
	for _, c := range f.vars["charts"].value.Nodes {
		told += checkQuery(t, literal(property(c, "title")), literal(property(c, "query")), messages, keys)
	}
	if told < 8 {
		t.Errorf("the workbook asks for %d messages", told)
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
