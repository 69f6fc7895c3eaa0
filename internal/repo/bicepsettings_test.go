package repo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostSettings are those that the Functions host reads. Source: Azure
// Functions documentation, "App settings reference" and "Connections".
var hostSettings = []string{
	"AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId", "AzureWebJobsStorage__accountName", "AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__tableServiceUri",
	"ServiceBusConnection__credential", "ServiceBusConnection__clientId",
	"APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}

// notDeployed are the handler's settings that have no place in Azure.
var notDeployed = map[string]string{
	"FUNCTIONS_CUSTOMHANDLER_PORT": "the host sets it",
	"KEY_VAULT_CUSTOM_ENDPOINT":    "for stand-ins",
	"SERVICEBUS_CUSTOM_ENDPOINT":   "for stand-ins",
	"ENTRA_CERTIFICATE_FILES":      "a package holds no private key: the certificate is in the vault",
}

// Flex Consumption refuses these. Source: Azure Functions documentation,
// "App settings reference", on the Flex Consumption plan.
var refusedByFlex = []string{
	"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_TIME_ZONE", "TZ",
	"SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD", "AzureWebJobsStorage",
}

// A row of the README's settings, which handler's tests keep true.
var settingRow = regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\| (.*?) \\|")

// parametersFile is infra/main.parameters.json.
func parametersFile(t *testing.T) (values map[string]any, settings map[string]any) {
	t.Helper()
	var file struct {
		Parameters map[string]struct{ Value any }
	}
	if err := json.Unmarshal([]byte(read(t, "infra/main.parameters.json")), &file); err != nil {
		t.Fatal(err)
	}
	values = make(map[string]any)
	for name, p := range file.Parameters {
		values[name] = p.Value
	}
	settings, _ = values["settings"].(map[string]any)
	return values, settings
}

// appSettings are the settings that Bicep gives the app by name.
func appSettings(t *testing.T) map[string]*node {
	t.Helper()
	given := make(map[string]*node)
	for _, r := range bicepFiles(t)["modules/app.bicep"].resources {
		if !strings.HasPrefix(r.typ, "Microsoft.Web/sites/config@") {
			continue
		}
		for _, arg := range arguments(property(r.body, "properties")) {
			if arg.Type != "object" {
				continue
			}
			for _, p := range arg.Nodes {
				if p.Type == "object_property" {
					given[key(p.Nodes[0])] = p.Nodes[1]
				}
			}
		}
	}
	return given
}

// What the handler can be told, it can be told in Azure: by Bicep, or by
// azd's environment; and the app gets nothing that nobody reads.
func TestBicepSettingsAreTheHandlers(t *testing.T) {
	given := appSettings(t)
	_, byName := parametersFile(t)
	_, table, _ := strings.Cut(read(t, "README.md"), "<!-- settings:")
	table, _, _ = strings.Cut(table, "<!-- end of settings -->")
	rows := settingRow.FindAllStringSubmatch(table, -1)
	known := make(map[string]bool)
	for _, row := range rows {
		name, required := row[1], row[2] == "required"
		known[name] = true
		_, fixed := given[name]
		_, free := byName[name]
		_, left := notDeployed[name]
		n := 0
		for _, in := range []bool{fixed, free, left} {
			if in {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: set by app.bicep %v, by main.parameters.json %v, left out %v: want one of them", name, fixed, free, left)
		}
		if required && free {
			t.Errorf("%s is required: app.bicep must set it", name)
		}
	}
	if len(known) < 30 {
		t.Fatalf("README.md lists %d settings", len(known))
	}
	for name, v := range given {
		if !known[name] && !slices.Contains(hostSettings, name) {
			t.Errorf("app.bicep sets %s, which neither the handler nor the host reads", name)
		}
		if slices.Contains(refusedByFlex, name) {
			t.Errorf("app.bicep sets %s, which Flex Consumption refuses", name)
		}
		if secret(name) && name != "AzureWebJobsStorage__credential" && name != "ServiceBusConnection__credential" && name != "APPLICATIONINSIGHTS_CONNECTION_STRING" &&
			!strings.HasPrefix(literal(v), "@Microsoft.KeyVault(SecretUri=") {
			t.Errorf("app.bicep sets %s to %q: want a reference to the vault", name, literal(v))
		}
	}
	for _, name := range hostSettings {
		if given[name] == nil {
			t.Errorf("app.bicep does not set %s, which the host needs", name)
		}
	}
	for name, v := range byName {
		if !known[name] {
			t.Errorf("main.parameters.json sets %s, which is no setting of the handler", name)
		}
		if want := "${ROLLCALL_" + name + "}"; v != want {
			t.Errorf("main.parameters.json sets %s to %v, want %s: the defaults are the handler's", name, v, want)
		}
		if secret(name) && name != "ENTRA_CREDENTIAL" {
			t.Errorf("main.parameters.json takes %s, a secret", name)
		}
	}
}

// azd can hand in every parameter, from its environment and nowhere else.
func TestBicepParametersAreAzds(t *testing.T) {
	values, _ := parametersFile(t)
	params := bicepFiles(t)["main.bicep"].params
	for name := range params {
		if _, ok := values[name]; !ok {
			t.Errorf("main.parameters.json has no %s", name)
		}
	}
	upper := regexp.MustCompile(`[A-Z]+|[a-z]+`)
	for name, v := range values {
		if params[name] == nil {
			t.Errorf("main.parameters.json has %s, which main.bicep does not take", name)
			continue
		}
		var words []string
		for _, w := range upper.FindAllString(name, -1) {
			// maximumInstanceCount is maximum, I, nstance, C, ount.
			if n := len(words); n > 0 && len(words[n-1]) == 1 {
				words[n-1] += w
			} else {
				words = append(words, w)
			}
		}
		want := "${ROLLCALL_" + strings.ToUpper(strings.Join(words, "_")) + "}"
		switch name {
		case "settings":
			continue
		case "environmentName":
			want = "${AZURE_ENV_NAME}"
		case "location":
			want = "${AZURE_LOCATION}"
		}
		if v != want {
			t.Errorf("main.parameters.json hands in %s as %v, want %s", name, v, want)
		}
	}
}

// literals are the properties that a resource of infra/ has as text, by path.
func literals(f *bicep, symbol string) map[string]string {
	all := make(map[string]string)
	var flatten func(prefix string, object *node)
	flatten = func(prefix string, object *node) {
		for _, p := range object.Nodes {
			if p.Type != "object_property" || len(p.Nodes) != 2 {
				continue
			}
			path, v := prefix+key(p.Nodes[0]), p.Nodes[1]
			switch v.Type {
			case "object":
				flatten(path+".", v)
			case "string":
				all[path] = literal(v)
			case "identifier":
				if d := f.vars[v.Text]; d != nil {
					all[path] = literal(d.value)
				}
			default:
				all[path] = v.Text
			}
		}
	}
	for _, r := range f.resources {
		if r.symbol == symbol && !r.existing {
			flatten("", r.body)
		}
	}
	return all
}

// found is the first group of pattern in a file.
func found(t *testing.T, file, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
	if m == nil {
		t.Fatalf("%s: nothing like %s", file, pattern)
	}
	return m[1]
}

// iso reads the durations that Azure takes, of days or minutes.
func iso(t *testing.T, s string) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`^P(?:(\d+)D|T(\d+)M)$`).FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("%q is no duration of days or minutes", s)
	}
	if m[1] != "" {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * 24 * time.Hour
	}
	n, _ := strconv.Atoi(m[2])
	return time.Duration(n) * time.Minute
}

// The queue in Azure is the one that the handler, the host and the sandbox
// speak of, and its times nest with theirs.
func TestBicepQueueIsTheHandlers(t *testing.T) {
	f := bicepFiles(t)["modules/bus.bicep"]
	queue, topic := literals(f, "queue"), literals(f, "topic")
	for where, name := range map[string]string{
		"handler/config.go":                  found(t, "handler/config.go", `(?m)^const queue = "(.+)"`),
		"functions/syncworker/function.json": found(t, "functions/syncworker/function.json", `"queueName": "(.+)"`),
	} {
		if queue["name"] != name {
			t.Errorf("bus.bicep makes the queue %s, %s listens to %s", queue["name"], where, name)
		}
	}
	if topic["name"] != "directory-changes" {
		t.Errorf("bus.bicep makes the topic %s, want directory-changes", topic["name"])
	}
	deliveries := found(t, "internal/sandbox/sandbox.go", `o\.MaxDeliveries = (\d+)`)
	if queue["properties.maxDeliveryCount"] != deliveries {
		t.Errorf("bus.bicep allows %s deliveries, the proofs run with %s", queue["properties.maxDeliveryCount"], deliveries)
	}
	lock := iso(t, queue["properties.lockDuration"])
	if proofs := found(t, "internal/sandbox/sandbox.go", `o\.LockDuration = (\d+) \* time\.Minute`); lock.Minutes() != float64(int(lock.Minutes())) || strconv.Itoa(int(lock.Minutes())) != proofs {
		t.Errorf("bus.bicep locks for %s, the proofs run with %s minutes", lock, proofs)
	}
	if lock > 5*time.Minute { // Service Bus documentation, "Quotas"
		t.Errorf("bus.bicep locks for %s: Service Bus takes 5 minutes at most", lock)
	}
	if queue["properties.requiresDuplicateDetection"] != "true" || iso(t, queue["properties.duplicateDetectionHistoryTimeWindow"]) != 24*time.Hour {
		t.Errorf("bus.bicep: duplicates are detected (%s) over %s: want a day", queue["properties.requiresDuplicateDetection"], queue["properties.duplicateDetectionHistoryTimeWindow"])
	}
	age := found(t, "README.md", "\\| `RUN_MAX_AGE` \\| [^|]* \\| 1h to (\\d+h) \\|")
	longest, err := time.ParseDuration(age)
	if ttl := iso(t, queue["properties.defaultMessageTimeToLive"]); err != nil || ttl <= longest {
		t.Errorf("bus.bicep keeps messages for %s; a run may wait for %s (%v)", ttl, age, err)
	}
}

// The tables, functions and time zone of one file are those of the other.
func TestBicepNamesWhatTheCodeNames(t *testing.T) {
	var tables, made []string
	for _, m := range regexp.MustCompile(`(?m)^\t\w+Table\s+= "(\w+)"`).FindAllStringSubmatch(read(t, "internal/tables/store.go"), -1) {
		tables = append(tables, m[1])
	}
	for _, n := range bicepFiles(t)["modules/storage.bicep"].vars["tables"].value.Nodes {
		made = append(made, literal(n))
	}
	slices.Sort(tables)
	if !slices.Equal(tables, made) {
		t.Errorf("storage.bicep makes the tables %v, the handler uses %v", made, tables)
	}
	bicepFiles(t)["modules/app.bicep"].tree.walk(func(n *node) {
		if name, ok := strings.CutPrefix(literal(n), "function:"); ok {
			if _, err := os.Stat(filepath.Join(root, "functions", name, "function.json")); err != nil {
				t.Errorf("app.bicep keeps instances for the function %s: %v", name, err)
			}
		}
	})
	if route := found(t, "functions/consentcallback/function.json", `"route": "(.+)"`); literal(bicepFiles(t)["main.bicep"].outputs["ROLLCALL_REDIRECT_URI"].value) != "${}/"+route {
		t.Errorf("main.bicep does not redirect to /%s", route)
	}
}
