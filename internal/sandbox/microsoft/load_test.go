package microsoft_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/load"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
)

// export saves a tenant as docs/sandbox.md tells: the answers as they come,
// page behind page.
func (r *rig) export(t *testing.T, bearer string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	save := func(file, path string) (ids []string) {
		t.Helper()
		var all []byte
		for path != "" {
			status, body := r.graph(t, bearer, path)
			if status != 200 {
				t.Fatalf("%s: %d %s", path, status, body)
			}
			var page struct {
				Next  string `json:"@odata.nextLink"`
				Value []struct{ ID string }
			}
			if err := json.Unmarshal([]byte(body), &page); err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Value {
				ids = append(ids, v.ID)
			}
			all = append(all, body...)
			path = strings.TrimPrefix(page.Next, r.GraphURL()+"/v1.0")
		}
		if err := os.WriteFile(filepath.Join(dir, file), all, 0o600); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	person := strings.Join((tenant.PropAll &^ tenant.PropManager).Names(), ",")
	save("organization.json", "/organization")
	save("users.json", "/users?$select="+person+"&$expand="+url.QueryEscape("manager($select=id)")+"&$top=100")
	save("subscribedSkus.json", "/subscribedSkus")
	for _, id := range save("groups.json", "/groups?$select="+strings.Join((tenant.GroupAll&^tenant.GroupMembers).Names(), ",")+"&$top=5") {
		save("members-"+id+".json", "/groups/"+id+"/members?$select=id&$top=20")
	}
	return dir
}

// A tenant that is exported and loaded elsewhere is the same tenant.
func TestExportAndLoad(t *testing.T) {
	here, there := start(t, microsoft.Options{}), start(t, microsoft.Options{})
	a, err := here.NewTenant(microsoft.TenantSpec{Name: "Müller & Co", Domain: "mueller.example", People: 450, Seed: 4, Teams: 10, Memberships: 300})
	if err != nil {
		t.Fatal(err)
	}
	if err := here.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	tok, err := token(t, here.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	b, sum, err := there.LoadTenant(here.export(t, tok))
	if err != nil {
		t.Fatal(err)
	}
	if sum.People != 450 || sum.Groups != len(a.Groups()) || sum.Memberships < 300 || sum.SKUs != 7 {
		t.Errorf("%+v", sum)
	}
	sum.People, sum.Groups, sum.Memberships, sum.SKUs = 0, 0, 0, 0
	if sum != (load.Summary{}) {
		t.Errorf("left out %+v", sum)
	}
	if b.ID != a.ID || b.Name != a.Name || b.Domain != a.Domain || !reflect.DeepEqual(a.SKUs(), b.SKUs()) {
		t.Errorf("%s %s %s, SKUs %+v", b.ID, b.Name, b.Domain, b.SKUs())
	}
	// Graph shows an empty collection as [], whatever it was made of.
	plain := func(v any) (out []map[string]any) {
		t.Helper()
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(raw), ":null", ":[]")), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if !reflect.DeepEqual(plain(a.People()), plain(b.People())) {
		t.Error("the people differ")
	}
	if !reflect.DeepEqual(plain(a.Groups()), plain(b.Groups())) {
		t.Error("the groups differ")
	}
	for _, g := range a.Groups() {
		x, y := a.Members(g.ID), b.Members(g.ID)
		slices.Sort(x)
		slices.Sort(y)
		if !slices.Equal(x, y) {
			t.Errorf("members of %s differ: %d and %d", g.DisplayName, len(x), len(y))
		}
	}
}

// The commands in docs/sandbox.md, as they stand there, make an export that
// loads.
func TestDocumentedExport(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("ROLLCALL_REQUIRE_TOOLS") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("%s is not installed: install it to prove the documented export", tool)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, script, ok := strings.Cut(string(text), "```sh\nmkdir export")
	script, _, end := strings.Cut(script, "```")
	if !ok || !end {
		t.Fatal("docs/sandbox.md has no such commands")
	}
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	r := startWith(t, microsoft.Options{}, ca)
	a := r.AddTenant(microsoft.TenantSpec{People: 1100, Teams: 5, Memberships: 60})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	tok, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	script = "set -e\naz() { echo $BEARER; }\nmkdir export" + strings.ReplaceAll(script, "https://graph.microsoft.com", r.GraphURL())
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "BEARER="+tok, "CURL_CA_BUNDLE="+root, "NO_PROXY=127.0.0.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, sum, err := start(t, microsoft.Options{}).LoadTenant(filepath.Join(dir, "export"))
	if err != nil || sum.People != 1100 || sum.Groups != 6 || sum.Memberships < 60 || sum.UnknownMembers != 0 || sum.SKUs != 7 {
		t.Errorf("%+v, %v", sum, err)
	}
}
