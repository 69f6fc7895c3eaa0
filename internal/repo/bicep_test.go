package repo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// azureFacts is testdata/azure-facts.json.
type azureFacts struct {
	Types map[string]struct {
		Name       [2]int
		Required   []string
		Properties map[string]string
	}
	Roles map[string]string
}

func factsOf(t *testing.T) (f azureFacts) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "internal/repo/testdata/azure-facts.json")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// No Bicep compiler can be had offline, so that this and the next tests stand
// in for it: the files parse, and what they name exists.
func TestBicepParses(t *testing.T) {
	for path, f := range bicepFiles(t) {
		f.tree.walk(func(n *node) {
			if n.Type == "ERROR" || n.Type == "MISSING" {
				t.Errorf("infra/%s:%d does not parse: %q", path, n.Line, n.Text)
			}
		})
		for name, d := range f.params {
			if about := d.decorators["description"]; len(about) != 1 || len(literal(about[0])) < 10 {
				t.Errorf("infra/%s:%d: parameter %s has no description", path, d.line, name)
			}
			if path == "main.bicep" {
				checkBounds(t, d)
			}
		}
	}
}

// checkBounds holds a parameter that comes from outside to having limits.
func checkBounds(t *testing.T, d *declaration) {
	t.Helper()
	want := map[string][]string{"int": {"minValue", "maxValue"}, "string": {"maxLength"}, "bool": nil, "object": nil}[d.typ]
	if strings.HasSuffix(d.typ, "[]") {
		want = []string{"maxLength"}
	}
	if _, ok := d.decorators["allowed"]; ok {
		return
	}
	for _, w := range want {
		if len(d.decorators[w]) != 1 {
			t.Errorf("infra/main.bicep:%d: parameter %s has no @%s", d.line, d.name, w)
		}
	}
}

// Every resource is of a type and version that the facts know, and sets no
// property that they do not.
func TestBicepResourcesAreKnown(t *testing.T) {
	facts := factsOf(t)
	used := make(map[string]bool)
	for path, f := range bicepFiles(t) {
		for _, r := range f.resources {
			at := fmt.Sprintf("infra/%s:%d (%s)", path, r.line, r.symbol)
			fact, ok := facts.Types[r.typ]
			if !ok {
				t.Errorf("%s: testdata/azure-facts.json does not know %s", at, r.typ)
				continue
			}
			used[r.typ] = true
			c := propertyCheck{t: t, f: f, at: at, facts: fact.Properties, seen: map[string]bool{}}
			for _, p := range r.body.Nodes {
				if p.Type != "object_property" || len(p.Nodes) != 2 {
					continue
				}
				switch k := key(p.Nodes[0]); k {
				case "name", "parent", "scope", "dependsOn": // Bicep's own
				default:
					c.value(k, p.Nodes[1])
				}
			}
			if r.existing {
				continue
			}
			if property(r.body, "name") == nil {
				t.Errorf("%s has no name", at)
			}
			for _, want := range fact.Required {
				if !c.seen[want] {
					t.Errorf("%s has no %s", at, want)
				}
			}
		}
	}
	for typ := range facts.Types {
		if !used[typ] {
			t.Errorf("testdata/azure-facts.json knows %s, which infra/ does not use", typ)
		}
	}
}

// propertyCheck holds the properties of one resource against the facts.
type propertyCheck struct {
	t     *testing.T
	f     *bicep
	at    string
	facts map[string]string
	seen  map[string]bool
}

func (c *propertyCheck) value(path string, v *node) {
	c.t.Helper()
	kind, known := c.kind(path)
	if known {
		c.seen[path] = true
		c.scalar(path, kind, v)
		return
	}
	switch v.Type {
	case "object":
		for _, p := range v.Nodes {
			if p.Type == "object_property" {
				c.value(path+"."+key(p.Nodes[0]), p.Nodes[1])
			}
		}
	case "array":
		for _, item := range v.Nodes {
			if item.Type != "comment" {
				c.value(path+"[]", item)
			}
		}
	case "for_statement":
		c.value(path+"[]", v.Nodes[len(v.Nodes)-1])
	case "ternary_expression":
		c.value(path, v.Nodes[1])
		c.value(path, v.Nodes[2])
	case "call_expression":
		if name := v.Nodes[0].Text; name != "concat" && name != "union" {
			c.t.Errorf("%s: %s is a call of %s, which this test does not look into", c.at, path, name)
		}
		for _, a := range arguments(v) {
			c.value(path, a)
		}
	case "identifier":
		if d := c.f.vars[v.Text]; d != nil {
			c.value(path, d.value)
			return
		}
		// A list from outside, of what the facts say its items are.
		if _, ok := c.kind(path + "[]"); !ok {
			c.t.Errorf("%s sets %s, which testdata/azure-facts.json does not know", c.at, path)
		}
	default:
		c.t.Errorf("%s sets %s, which testdata/azure-facts.json does not know", c.at, path)
	}
}

func (c *propertyCheck) kind(path string) (string, bool) {
	if kind, ok := c.facts[path]; ok {
		return kind, true
	}
	parts := strings.Split(path, ".")
	for fact, kind := range c.facts {
		if !strings.Contains(fact, "*") {
			continue
		}
		pattern := strings.Split(fact, ".")
		if len(pattern) == len(parts) && slices.EqualFunc(pattern, parts, func(a, b string) bool { return a == "*" || a == b }) {
			return kind, true
		}
	}
	return "", false
}

// scalar checks a value that is written out, and both sides of a choice;
// others depend on a parameter or on another resource.
func (c *propertyCheck) scalar(path, kind string, v *node) {
	c.t.Helper()
	if v.Type == "ternary_expression" {
		c.scalar(path, kind, v.Nodes[1])
		c.scalar(path, kind, v.Nodes[2])
		return
	}
	want := map[string]string{"string": "string", "int": "number", "bool": "boolean", "map": "object"}[kind]
	if want == "" {
		want = "string" // one of several
	}
	switch v.Type {
	case "string", "number", "boolean", "object", "array":
		if v.Type != want {
			c.t.Errorf("%s: %s is a %s, want %s", c.at, path, v.Type, kind)
		} else if text := literal(v); v.Type == "string" && strings.ContainsAny(kind, "|") && !strings.Contains(text, "${}") && !slices.Contains(strings.Split(kind, "|"), text) {
			c.t.Errorf("%s: %s is %q, want one of %s", c.at, path, text, kind)
		}
	}
}

var guids = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Every role assignment says why, is one that we looked at, and holds for a
// resource, never for the whole group.
func TestBicepRolesHaveReasons(t *testing.T) {
	facts := factsOf(t)
	reasons := make(map[string]string)
	used := make(map[string]bool)
	for path, f := range bicepFiles(t) {
		for _, r := range f.resources {
			if !strings.HasPrefix(r.typ, "Microsoft.Authorization/roleAssignments@") {
				continue
			}
			at := fmt.Sprintf("infra/%s:%d (%s)", path, r.line, r.symbol)
			props := property(r.body, "properties")
			why := literal(property(props, "description"))
			// Azure cuts off at 1,024 characters.
			if len(why) < 40 || len(why) > 1024 || strings.Contains(why, "${}") {
				t.Errorf("%s: its description must give the reason for the role, in 40 to 1,024 characters", at)
			}
			if other, twice := reasons[why]; twice {
				t.Errorf("%s gives the reason of %s", at, other)
			}
			reasons[why] = at
			if property(r.body, "scope") == nil {
				t.Errorf("%s holds for the whole resource group", at)
			}
			if got := literal(property(props, "principalType")); got != "ServicePrincipal" {
				t.Errorf("%s: principalType is %q: people get no role here", at, got)
			}
			role := property(props, "roleDefinitionId")
			if role == nil || !slices.Equal(role.calls(), []string{"subscriptionResourceId"}) || len(arguments(role)) != 2 {
				t.Errorf("%s: want subscriptionResourceId of a role named in a variable", at)
				continue
			}
			name := arguments(role)[1].Text
			id := ""
			if d := f.vars[name]; d != nil {
				id = literal(d.value)
			}
			if !guids.MatchString(id) || facts.Roles[name] != id {
				t.Errorf("%s: role %s is %q, testdata/azure-facts.json has %q", at, name, id, facts.Roles[name])
			}
			used[name] = true
			// Another role or holder under the same name would be refused.
			if id := property(r.body, "name"); id == nil || len(arguments(id)) != 3 || arguments(id)[2].Text != name {
				t.Errorf("%s: its name must be guid(scope, principal, role)", at)
			}
		}
	}
	for name := range facts.Roles {
		if !used[name] {
			t.Errorf("testdata/azure-facts.json has the role %s, which nobody gets", name)
		}
	}
}

// secretLike are names of what must stay secret; those of addresses and names
// of secrets are not.
var (
	secretLike = regexp.MustCompile(`(?i)secret|password|token|credential|key|connection_?string|sas$|half$`)
	addressOf  = regexp.MustCompile(`(?i)(uri|url|id|name|identity|endpoint)s?$`)
)

func secret(name string) bool { return secretLike.MatchString(name) && !addressOf.MatchString(name) }

// No secret is in a parameter that Azure records, in an output or in an app
// setting, and none is asked of a resource.
func TestBicepKeepsSecrets(t *testing.T) {
	for path, f := range bicepFiles(t) {
		secure := make(map[string]bool)
		for name, d := range f.params {
			_, secure[name] = d.decorators["secure"]
			if secret(name) && !secure[name] {
				t.Errorf("infra/%s:%d: parameter %s must be @secure", path, d.line, name)
			}
			if secure[name] && (d.value == nil || !slices.Equal(d.value.calls(), []string{"newGuid"})) {
				t.Errorf("infra/%s:%d: secure parameter %s must be drawn by newGuid(), not handed in", path, d.line, name)
			}
		}
		for name, d := range f.outputs {
			if secret(name) {
				t.Errorf("infra/%s:%d: output %s is secret", path, d.line, name)
			}
		}
		f.tree.walk(func(n *node) {
			if n.Type == "call_expression" {
				fn := n.Nodes[0]
				name := fn.Nodes
				if fn.Type == "identifier" && strings.HasPrefix(fn.Text, "list") || len(name) > 0 && (strings.HasPrefix(name[len(name)-1].Text, "list") || name[len(name)-1].Text == "getSecret") {
					t.Errorf("infra/%s:%d asks a resource for its keys", path, n.Line)
				}
			}
		})
		// Secure values go into the vault, once, and nowhere else.
		uses := make(map[*node]bool)
		for _, r := range f.resources {
			if strings.HasPrefix(r.typ, "Microsoft.KeyVault/vaults/secrets@") {
				if !r.once {
					t.Errorf("infra/%s:%d (%s) is made anew at each deployment: want @onlyIfNotExists()", path, r.line, r.symbol)
				}
				property(property(r.body, "properties"), "value").walk(func(n *node) { uses[n] = true })
			}
		}
		f.tree.walk(func(n *node) {
			if n.Type == "parameter_declaration" {
				uses[n.Nodes[0]] = true
			}
			if n.Type == "identifier" && secure[n.Text] && !uses[n] {
				t.Errorf("infra/%s:%d: %s leaves the vault", path, n.Line, n.Text)
			}
		})
	}
}

// What keeps strangers out, and what makes the plan what it is, by resource.
func TestBicepIsClosed(t *testing.T) {
	all := bicepFiles(t)
	for _, c := range []struct{ file, symbol, path, want string }{
		{"modules/storage.bicep", "account", "properties.allowSharedKeyAccess", "false"},
		{"modules/storage.bicep", "account", "properties.allowBlobPublicAccess", "false"},
		{"modules/storage.bicep", "account", "properties.allowCrossTenantReplication", "false"},
		{"modules/storage.bicep", "account", "properties.supportsHttpsTrafficOnly", "true"},
		{"modules/storage.bicep", "account", "properties.minimumTlsVersion", "TLS1_2"},
		{"modules/storage.bicep", "package", "properties.publicAccess", "None"},
		{"modules/bus.bicep", "namespace", "sku.name", "Standard"},
		{"modules/bus.bicep", "namespace", "properties.disableLocalAuth", "true"},
		{"modules/bus.bicep", "namespace", "properties.minimumTlsVersion", "1.2"},
		{"modules/bus.bicep", "subscription", "properties.requiresSession", "true"},
		{"modules/vault.bicep", "vault", "properties.enableRbacAuthorization", "true"},
		{"modules/vault.bicep", "vault", "properties.enableSoftDelete", "true"},
		{"modules/vault.bicep", "vault", "properties.enablePurgeProtection", "true"},
		{"modules/monitoring.bicep", "workspace", "properties.features.disableLocalAuth", "true"},
		{"modules/monitoring.bicep", "insights", "properties.DisableLocalAuth", "true"},
		{"modules/app.bicep", "plan", "sku.name", "FC1"},
		{"modules/app.bicep", "plan", "sku.tier", "FlexConsumption"},
		{"modules/app.bicep", "plan", "properties.reserved", "true"},
		{"modules/app.bicep", "app", "identity.type", "UserAssigned"},
		{"modules/app.bicep", "app", "properties.httpsOnly", "true"},
		{"modules/app.bicep", "app", "properties.siteConfig.minTlsVersion", "1.2"},
		{"modules/app.bicep", "app", "properties.functionAppConfig.runtime.name", "custom"},
		{"modules/app.bicep", "app", "properties.functionAppConfig.runtime.version", "1.0"},
		{"modules/app.bicep", "app", "properties.functionAppConfig.deployment.storage.authentication.type", "UserAssignedIdentity"},
		{"modules/app.bicep", "ftp", "properties.allow", "false"},
		{"modules/app.bicep", "scm", "properties.allow", "false"},
	} {
		if got := literals(all[c.file], c.symbol)[c.path]; got != c.want {
			t.Errorf("infra/%s (%s): %s is %q, want %q", c.file, c.symbol, c.path, got, c.want)
		}
	}
}
