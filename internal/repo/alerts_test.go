package repo

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logRule is an alert on lines of the log.
type logRule struct {
	query, by, every, window string
	once                     string
	threshold, severity      string
}

// logRules are those of infra/modules/alerts.bicep, by name.
func logRules(t *testing.T) map[string]logRule {
	t.Helper()
	all := make(map[string]logRule)
	for _, r := range bicepFiles(t)["modules/alerts.bicep"].vars["rules"].value.Nodes {
		if r.Type != "object" {
			continue
		}
		text := func(name string) string { return literal(property(r, name)) }
		all[text("suffix")] = logRule{
			query: text("query"), by: text("by"), every: text("every"), window: text("window"), once: property(r, "once").Text,
			threshold: property(r, "threshold").Text, severity: property(r, "severity").Text,
		}
	}
	return all
}

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
	if got, want := made(t, "modules/alerts.bicep", "deadLetters")["properties.description"], "'What to do: ${runbooksUrl}/"+alerts[0]+".md'"; got != want {
		t.Errorf("the alert on dead letters says %s, want %s", got, want)
	}
	told := 0
	for name, r := range logRules(t) {
		alerts = append(alerts, name)
		// A line may arrive ten minutes late: the next look must see it too.
		if duration(t, r.window) < duration(t, r.every)+10 {
			t.Errorf("%s: looks every %s at the last %s: lines are missed", name, r.every, r.window)
		}
		told += checkQuery(t, name, r.query, messages, keys)
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

// How the alerts are set, word for word: each of these lines turned round is an
// alert that never comes, or always.
func TestAlertsAreSet(t *testing.T) {
	const file, criteria = "modules/alerts.bicep", "properties.criteria.allOf[0]."
	got := logRules(t)
	for name, want := range map[string]logRule{
		"tenant-not-synced":       {by: "connection", once: "false", threshold: "0", severity: "2", every: "PT30M", window: "PT1H"},
		"credential-expiry":       {once: "true", threshold: "0", severity: "2", every: "PT1H", window: "PT2H"},
		"held-runs":               {once: "true", threshold: "0", severity: "2", every: "PT15M", window: "PT30M"},
		"disconnect-wave":         {once: "true", threshold: "0", severity: "1", every: "PT15M", window: "PT30M"},
		"throttled":               {by: "connection", once: "false", threshold: "10", severity: "3", every: "PT1H", window: "PT6H"},
		"janitor-or-timer-silent": {once: "false", threshold: "0", severity: "1", every: "PT15M", window: "PT1H"},
	} {
		r := got[name]
		r.query = ""
		if r != want {
			t.Errorf("%s is set %+v, want %+v", name, r, want)
		}
	}
	same(t, file+": rule", made(t, file, "rule"), map[string]string{
		"name": "'${name}-${r.suffix}'", "location": "location", "tags": "tags", "kind": "'LogAlert'",
		"properties.displayName":                              "'Rollcall: ${r.title}'",
		"properties.description":                              "'What to do: ${runbooksUrl}/${r.suffix}.md'",
		"properties.enabled":                                  "true",
		"properties.severity":                                 "r.severity",
		"properties.skipQueryValidation":                      "true",
		"properties.scopes":                                   "[workspaceId]",
		"properties.evaluationFrequency":                      "r.every",
		"properties.windowSize":                               "r.window",
		criteria + "query":                                    "r.query",
		criteria + "timeAggregation":                          "'Count'",
		criteria + "dimensions":                               "empty(r.by) ? [] : [{ name: r.by, operator: 'Include', values: ['*'] }]",
		criteria + "operator":                                 "'GreaterThan'",
		criteria + "threshold":                                "r.threshold",
		criteria + "failingPeriods.numberOfEvaluationPeriods": "1",
		criteria + "failingPeriods.minFailingPeriodsToAlert":  "1",
		"properties.autoMitigate":                             "!r.once",
		"properties.actions.actionGroups":                     "empty(contacts) ? [] : [group.id]",
	}, true)
	same(t, file+": deadLetters", made(t, file, "deadLetters"), map[string]string{
		"name": "'${name}-dead-letters'", "location": "'global'", "tags": "tags",
		"properties.description":            "'What to do: ${runbooksUrl}/dead-letters.md'",
		"properties.enabled":                "true",
		"properties.severity":               "2",
		"properties.scopes":                 "[busId]",
		"properties.evaluationFrequency":    "'PT5M'",
		"properties.windowSize":             "'PT5M'",
		"properties.criteria.odata.type":    "'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'",
		criteria + "criterionType":          "'StaticThresholdCriterion'",
		criteria + "name":                   "'dead letters'",
		criteria + "metricNamespace":        "'Microsoft.ServiceBus/namespaces'",
		criteria + "metricName":             "'DeadletteredMessages'", // as Azure spells it
		criteria + "dimensions[0].name":     "'EntityName'",
		criteria + "dimensions[0].operator": "'Include'",
		criteria + "dimensions[0].values":   "[queueName]",
		criteria + "timeAggregation":        "'Maximum'",
		criteria + "operator":               "'GreaterThan'",
		criteria + "threshold":              "0",
		"properties.autoMitigate":           "true",
		"properties.actions":                "empty(contacts) ? [] : [{ actionGroupId: group.id }]",
	}, true)
	same(t, file+": group", made(t, file, "group"), map[string]string{"properties.enabled": "true"}, false)
	if line := literal(bicepFiles(t)[file].vars["line"].value); line != `AppTraces | where tostring(Properties.Category) == "Host.Function.Console" | extend line = parse_json(Message)` {
		t.Errorf("the alerts look at %s", line)
	}
}

// Which alerts fire, and for whom, on lines as the handler writes them.
func TestAlertsFire(t *testing.T) {
	const (
		slots    = `{"level":"INFO","msg":"slots started","objects":3}`
		short    = `{"level":"WARN","msg":"not all slots started; the next tick goes on","objects":3,"err":"deadline"}`
		sweep    = `{"level":"INFO","msg":"sweep ended","objects":3,"took":12}`
		early    = `{"level":"WARN","msg":"sweep ended early; the next one goes on","objects":2,"of":3}`
		late     = `{"level":"WARN","msg":"tenant not synced for twice its interval","connection":"a","status":"failed","hours":30}`
		lateToo  = `{"level":"WARN","msg":"tenant not synced for twice its interval","connection":"b","status":"failed","hours":30}`
		held     = `{"level":"WARN","msg":"removals held","connection":"a","run":"r","kind":"people","objects":200}`
		wave     = `{"level":"ERROR","msg":"disconnect wave","connections":4,"verified":30}`
		expires  = `{"level":"WARN","msg":"credential expires soon","what":"secret","name":"x","days":29}`
		refused  = `{"level":"WARN","msg":"credential version refused","name":"x","version":"2"}`
		throttle = `{"level":"WARN","msg":"run waits","connection":"a","kind":"throttled"}`
		waits    = `{"level":"WARN","msg":"run waits","connection":"a","kind":"unknown"}`
	)
	well := []string{slots, sweep, `{"level":"INFO","msg":"run ended","connection":"a","state":"succeeded"}`, throttle, waits}
	rules := logRules(t)
	for _, c := range []struct {
		what  string
		lines []string
		want  string // alerts, each with what it is of
	}{
		{"all is well", well, ""},
		{"out of time, but there", []string{short, early}, ""},
		{"nothing at all", nil, "janitor-or-timer-silent"},
		{"no timer", []string{sweep, sweep}, "janitor-or-timer-silent"},
		{"no janitor", []string{slots, slots, slots}, "janitor-or-timer-silent"},
		{"late", append(slices.Clone(well), late, late, lateToo), "tenant-not-synced:a tenant-not-synced:b"},
		{"held", append(slices.Clone(well), held), "held-runs"},
		{"wave", append(slices.Clone(well), wave), "disconnect-wave"},
		{"a credential ends", append(slices.Clone(well), expires), "credential-expiry"},
		{"a credential is refused", append(slices.Clone(well), refused, refused), "credential-expiry"},
		{"ten throttles", append(slices.Clone(well), slices.Repeat([]string{throttle}, 9)...), ""},
		{"eleven throttles", append(slices.Clone(well), slices.Repeat([]string{throttle}, 10)...), "throttled:a"},
		{"other waits", append(slices.Clone(well), slices.Repeat([]string{waits}, 30)...), ""},
	} {
		var fired []string
		for name, r := range rules {
			_, query, _ := strings.Cut(r.query, " | ") // after the lines
			found, err := rows(query, c.lines)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			most, err := strconv.Atoi(r.threshold)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			counts := make(map[string]int)
			for _, row := range found {
				of := name
				if r.by != "" {
					of += ":" + row[r.by]
				}
				if counts[of]++; counts[of] == most+1 {
					fired = append(fired, of)
				}
			}
		}
		slices.Sort(fired)
		if got := strings.Join(fired, " "); got != c.want {
			t.Errorf("%s: fired %q, want %q", c.what, got, c.want)
		}
	}
}

// asked is a condition on the message.
var asked = regexp.MustCompile(`line\.msg (?:== "[^"]*"|in \([^()]*\))`)

// checkQuery holds a query of the log against what the code logs, and returns
// how many messages it asks for.
func checkQuery(t *testing.T, name, query string, messages, keys map[string]bool) (told int) {
	t.Helper()
	if !strings.HasPrefix(query, "${} | where line.") && !strings.HasPrefix(query, "${} | summarize ") {
		t.Errorf("%s: asks for no line: %s", name, query)
	}
	for _, about := range asked.FindAllString(query, -1) {
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
