package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the generated parts of README.md and local.settings.json.example")

// good is a whole set of settings.
func good() map[string]string {
	return map[string]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT": "7071",
		"PUBLIC_URL":                   "https://rollcall.example.com/",
		"LINK_KEYS":                    "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"AZURE_CLIENT_ID":              "11111111-1111-1111-1111-111111111111",
		"ENTRA_APP_ID":                 "AAAAAAAA-2222-2222-2222-222222222222",
		"TABLES_ENDPOINT":              "https://account.table.core.windows.net",
		"ServiceBusConnection__fullyQualifiedNamespace": "ns.servicebus.windows.net",
	}
}

func TestLoad(t *testing.T) {
	env := good()
	c, _, err := load(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	if c.port != 7071 || c.publicURL != "https://rollcall.example.com" || c.apps["mailboxes"] != "aaaaaaaa-2222-2222-2222-222222222222" ||
		c.interval != 12*time.Hour || c.cooldown != 30*time.Minute || c.authority != "https://login.microsoftonline.com" || len(c.linkKeys) != 1 {
		t.Errorf("read %+v", c)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, v := range map[string]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT": "65536",
		"PUBLIC_URL":                   "http://rollcall.example.com",
		"LINK_KEYS":                    "c2hvcnQ=",
		"LINK_TTL":                     "721h",
		"AZURE_CLIENT_ID":              "none",
		"AZURE_AUTHORITY_HOST":         "https://login.example.com/path",
		"GRAPH_ENDPOINT":               "https://user@graph.example.com",
		"ServiceBusConnection__fullyQualifiedNamespace": "sb://ns",
		"SERVICEBUS_CUSTOM_ENDPOINT":                    "nowhere",
		"SYNC_INTERVAL":                                 "30",
		"SLICE_BUDGET":                                  "9m",
		"RETRY_MAX_DELAY":                               "1s", // below the least delay
		"GUARD_MAX_PERCENT":                             "101",
		"LOG_LEVEL":                                     "warn", // would silence what alerts look for
		"AZURE_CLOUD":                                   "moon",
		"ENTRA_APPS":                                    "base=AAAAAAAA-2222-2222-2222-222222222222", // the widest profile's
		"ENTRA_CREDENTIAL":                              "certificate",                               // and none is named
		"ENTRA_CERTIFICATE_FILES":                       "a.pem,b.pem,c.pem",
		"KEY_VAULT_URL":                                 "http://vault.example.com",
		"ENTRA_SECRET_NAME":                             "no/name",
		"ARCHIVED_MAX_AGE":                              "-1h",
		"OTEL_EXPORTER_OTLP_ENDPOINT":                   "http://collector.example.com",
		"OTEL_EXPORTER_OTLP_HEADERS":                    "key some-secret",
		"TRACES_PERCENT":                                "101",
	} {
		env := good()
		env[name] = v
		_, _, err := load(func(k string) string { return env[k] })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: error %v, want one that names it", name, v, err)
		}
		if (name == "LINK_KEYS" || name == "OTEL_EXPORTER_OTLP_HEADERS") && err != nil && strings.Contains(err.Error(), v) {
			t.Errorf("the key itself is in %v", err)
		}
	}
}

// A reference to Key Vault that Azure did not resolve comes as its own text: that
// is said, not what is wrong with it as a value.
func TestUnresolvedReference(t *testing.T) {
	for _, name := range []string{"LINK_KEYS", "OTEL_EXPORTER_OTLP_HEADERS", "SYNC_INTERVAL", "TABLES_ENDPOINT"} {
		env := good()
		env[name] = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"
		_, _, err := load(func(k string) string { return env[k] })
		if err == nil || len(mistakes(err)) != 1 || !strings.HasPrefix(err.Error(), name+" is a reference to Key Vault that Azure has not resolved") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat("../docs/runbooks/janitor-or-timer-silent.md"); err != nil {
		t.Error(err)
	}
}

// Collectors as vendors offer them have paths.
func TestCollectorWithPath(t *testing.T) {
	env := good()
	env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "https://x.live.dynatrace.com/api/v2/otlp/"
	if c, _, err := load(func(k string) string { return env[k] }); err != nil || c.collector != "https://x.live.dynatrace.com/api/v2/otlp" {
		t.Errorf("%q, %v", c.collector, err)
	}
	for _, bad := range []string{"https://x.example/otlp?key=1", "https://u:p@x.example/otlp", "x.example/otlp"} {
		env["OTEL_EXPORTER_OTLP_ENDPOINT"] = bad
		if _, _, err := load(func(k string) string { return env[k] }); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// A collector's headers, escaped as OpenTelemetry has them.
func TestHeaders(t *testing.T) {
	env := good()
	env["OTEL_EXPORTER_OTLP_HEADERS"] = " Authorization = Basic%20a%2Cb=, x-key=1 ,"
	c, _, err := load(func(k string) string { return env[k] })
	if want := map[string]string{"Authorization": "Basic a,b=", "x-key": "1"}; err != nil || !maps.Equal(c.collectorHeaders, want) {
		t.Errorf("%q, %v", c.collectorHeaders, err)
	}
}

// All mistakes come at once.
func TestLoadReportsAll(t *testing.T) {
	_, all, err := load(func(string) string { return "" })
	if err == nil {
		t.Fatal("nothing is set, and nothing is wrong")
	}
	for _, s := range all {
		if s.required && !strings.Contains(err.Error(), s.name) {
			t.Errorf("%s is required and not named", s.name)
		}
	}
	if len(mistakes(err)) < 7 {
		t.Errorf("%d mistakes, want one for each required setting", len(mistakes(err)))
	}
}

const (
	tableBegin = "<!-- settings: written by go test ./handler -update -->\n"
	tableEnd   = "<!-- end of settings -->\n"
)

// The README's table and the example's keys are those of load.
func TestSettingsAreDocumented(t *testing.T) {
	_, all, _ := load(func(string) string { return "" })
	var table strings.Builder
	table.WriteString("| setting | default | bounds | meaning |\n|---|---|---|---|\n")
	for _, s := range all {
		def := "`" + s.def + "`"
		switch {
		case s.host:
			def = "set by the host"
		case s.required:
			def = "required"
		case s.def == "":
			def = ""
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", s.name, def, s.bounds, s.meaning)
	}

	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatal("README.md has no place for the settings")
	}
	want := before + tableBegin + table.String() + tableEnd + after
	if *update {
		if err := os.WriteFile("../README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(readme) {
		t.Error("README.md's settings are not those of config.go: run go test ./handler -update")
	}

	b, err := os.ReadFile("../local.settings.json.example")
	if err != nil {
		t.Fatal(err)
	}
	var example struct{ Values map[string]string }
	if err := json.Unmarshal(b, &example); err != nil {
		t.Fatal(err)
	}
	hosts := []string{"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"} // the host's own
	for _, s := range all {
		if _, ok := example.Values[s.name]; ok == s.host {
			t.Errorf("local.settings.json.example: %s is there: %v", s.name, ok)
		}
	}
	for k := range example.Values {
		if !slices.Contains(hosts, k) && !slices.ContainsFunc(all, func(s setting) bool { return s.name == k }) {
			t.Errorf("local.settings.json.example: %s is no setting", k)
		}
	}
	if _, _, err := load(func(k string) string {
		if k == "FUNCTIONS_CUSTOMHANDLER_PORT" {
			return "7071"
		}
		return example.Values[k]
	}); err != nil {
		t.Errorf("local.settings.json.example does not load: %v", err)
	}
}

// The time limits of code and host.json nest: a slice, the invocation, the
// host's kill, the end of the message's lock.
func TestTimeLimitsNest(t *testing.T) {
	b, err := os.ReadFile("../host.json")
	if err != nil {
		t.Fatal(err)
	}
	var h struct {
		FunctionTimeout string
		Extensions      struct {
			HTTP       struct{ RoutePrefix *string }
			ServiceBus struct{ MaxAutoLockRenewalDuration string }
		}
		Logging struct {
			ApplicationInsights struct {
				SamplingSettings struct{ ExcludedTypes string }
			}
		}
		CustomHandler struct {
			EnableProxyingHTTPRequest bool `json:"enableProxyingHttpRequest"`
			Description               struct{ DefaultExecutablePath string }
		}
	}
	if err := json.Unmarshal(b, &h); err != nil {
		t.Fatal(err)
	}
	span := func(s string) time.Duration {
		var hh, mm, ss int
		if _, err := fmt.Sscanf(s, "%d:%d:%d", &hh, &mm, &ss); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return time.Duration(hh)*time.Hour + time.Duration(mm)*time.Minute + time.Duration(ss)*time.Second
	}
	timeout, renewal := span(h.FunctionTimeout), span(h.Extensions.ServiceBus.MaxAutoLockRenewalDuration)
	longest := config{budget: 7 * time.Minute} // the setting's upper bound
	const handing = 90 * time.Second           // to hand a run on, and to put a job back
	if longest.deadline()+handing >= timeout || timeout >= renewal {
		t.Errorf("deadline %s, functionTimeout %s, lock renewal %s: want each below the next", longest.deadline(), timeout, renewal)
	}
	if h.Extensions.HTTP.RoutePrefix == nil || *h.Extensions.HTTP.RoutePrefix != "" || !h.CustomHandler.EnableProxyingHTTPRequest || h.CustomHandler.Description.DefaultExecutablePath != "handler" {
		t.Errorf("host.json: %+v", h)
	}
	// Alerts look for single lines of the log.
	if kept := strings.Split(h.Logging.ApplicationInsights.SamplingSettings.ExcludedTypes, ";"); !slices.Contains(kept, "Trace") || !slices.Contains(kept, "Exception") {
		t.Errorf("host.json samples all but %q: lines of the log may be dropped", kept)
	}
}

// A cloud brings its own addresses, and whoever names one keeps it.
func TestClouds(t *testing.T) {
	for name, want := range map[string][3]string{
		"public":   {"https://login.microsoftonline.com", "https://graph.microsoft.com", "api://AzureADTokenExchange"},
		"usgov":    {"https://login.microsoftonline.us", "https://graph.microsoft.us", "api://AzureADTokenExchangeUSGov"},
		"usgovdod": {"https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "api://AzureADTokenExchangeUSGov"},
		"china":    {"https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", "api://AzureADTokenExchangeChina"},
	} {
		env := good()
		env["AZURE_CLOUD"] = name
		c, _, err := load(func(k string) string { return env[k] })
		if got := [3]string{c.authority, c.graph, c.cloud.audience}; err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
		env["GRAPH_ENDPOINT"] = "https://graph.example.com"
		if c, _, err := load(func(k string) string { return env[k] }); err != nil || c.graph != "https://graph.example.com" {
			t.Errorf("%s: graph %q, %v", name, c.graph, err)
		}
	}
}

// Smaller profiles are named beside the widest.
func TestApps(t *testing.T) {
	env := good()
	env["ENTRA_APPS"] = " base=BBBBBBBB-2222-2222-2222-222222222222, teams=cccccccc-2222-2222-2222-222222222222 "
	c, _, err := load(func(k string) string { return env[k] })
	want := map[string]string{
		"mailboxes": "aaaaaaaa-2222-2222-2222-222222222222", "base": "bbbbbbbb-2222-2222-2222-222222222222", "teams": "cccccccc-2222-2222-2222-222222222222",
	}
	if err != nil || !maps.Equal(c.apps, want) {
		t.Errorf("%v, %v", c.apps, err)
	}
	for _, bad := range []string{"mailboxes=cccccccc-2222-2222-2222-222222222222", "base", "base=1", "base=bbbbbbbb-2222-2222-2222-222222222222,base=cccccccc-2222-2222-2222-222222222222"} {
		env["ENTRA_APPS"] = bad
		if _, _, err := load(func(k string) string { return env[k] }); err == nil || !strings.Contains(err.Error(), "ENTRA_APPS") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
