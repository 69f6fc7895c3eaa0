package repo

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64") // as shipped
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if !slices.ContainsFunc(pkgs, func(p pkg) bool {
		return p.ImportPath == module+"handler" && slices.Contains(p.Deps, "net/http")
	}) {
		t.Fatalf("go list named %d packages, but not the handler with what it depends on", len(pkgs))
	}
	for _, b := range breaches(pkgs) {
		t.Error(b)
	}
	for _, r := range rooms {
		if !slices.ContainsFunc(pkgs, func(p pkg) bool { return matches(r.packages, strings.TrimPrefix(p.ImportPath, module)) }) {
			t.Errorf("rooms has a row for %s, which does not exist", r.packages)
		}
	}
}

// Each rule can be broken, and what broke it is named.
func TestBreaches(t *testing.T) {
	const azure = "github.com/Azure/azure-sdk-for-go/sdk/"
	for _, c := range []struct{ from, imp, want string }{
		{"functions/synctimer", "rollcall/internal/schedule", ""},
		{"functions/synctimer", "rollcall/internal/tables", "functions/... may import"},
		{"functions/synctimer", "rollcall/functions/syncnow", "functions/... may import"},
		{"functions/synctimer", azure + "azcore", "only [internal/graph"},
		{"internal/reconcile", "rollcall/internal/directory", ""},
		{"internal/reconcile", "rollcall/internal/graph", "internal/reconcile may import"},
		{"internal/reconcile", "rollcall/internal/schedule", "internal/reconcile may import"},
		{"internal/reconcile", "golang.org/x/sync/errgroup", ""},
		{"internal/tables", azure + "data/aztables", ""},
		{"internal/tables", "rollcall/internal/bus", "internal/tables may import"},
		{"internal/tables", "rollcall/internal/reconcile", "internal/tables may import"},
		{"internal/tables", azure + "azidentity/cache", "only [internal/credential]"},
		{"internal/graph", "github.com/microsoftgraph/msgraph-sdk-go-core", ""},
		{"internal/graph", "github.com/microsoft/kiota-http-go", ""},
		{"internal/graph", "github.com/microsoft/other", "only [] may"},
		{"internal/credential", "github.com/microsoft/kiota-http-go", "only [internal/graph]"},
		{"internal/credential", azure + "security/keyvault/azsecrets", ""},
		{"internal/bus", azure + "messaging/azservicebus", ""},
		{"internal/bus", "github.com/Azure/go-amqp", "only [] may"},
		{"internal/signin", "golang.org/x/oauth2", ""},
		{"internal/consent", "github.com/coreos/go-oidc/v3/oidc", "only [internal/signin]"},
		{"internal/directory", "rollcall/internal/job", "internal/directory may import"},
		{"internal/job", "github.com/google/uuid", "the standard library"},
		{"internal/pages", "github.com/danielgtaylor/huma/v2", "only [internal/api]"},
		{"internal/obs", "rollcall/internal/sandbox/pki", "internal/obs may import"},
		{"internal/sandbox/servicebus", "github.com/Azure/go-amqp", "the standard library"},
		{"internal/sandbox/microsoft/graph", "rollcall/internal/directory", "internal/sandbox/microsoft/... may import"},
		{"internal/sandbox/cmd/sandbox", "rollcall/handler", "internal/sandbox/... may import"},
		{"internal/util", "fmt", "no row"},
	} {
		got := breaches([]pkg{{ImportPath: module + c.from, Imports: []string{"context", c.imp}}})
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s may import %s, but: %v", c.from, c.imp, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want) || !strings.HasPrefix(got[0], c.from)):
			t.Errorf("%s imports %s: got %q, want %q", c.from, c.imp, got, c.want)
		}
	}
	for dep, want := range map[string]bool{
		"rollcall/internal/sandbox/pki":                               true,
		"github.com/microsoftgraph/msgraph-sdk-go":                    true,
		"github.com/microsoftgraph/msgraph-sdk-go/models":             true,
		"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors": false,
		"github.com/microsoftgraph/msgraph-sdk-go-core":               false,
	} {
		if got := breaches([]pkg{{ImportPath: "rollcall/handler", Deps: []string{dep}}}); len(got) > 0 != want {
			t.Errorf("handler that depends on %s: %q", dep, got)
		}
	}
}
