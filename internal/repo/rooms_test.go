package repo

import (
	"fmt"
	"slices"
	"strings"
)

// A pattern is an import path without the module's name, or a path ending in
// "/..." for a folder and all below it.

// room is what one of our packages may import of our own, tests apart. The
// first room that matches a package is its own.
type room struct {
	packages string
	may      []string
}

var (
	vocabulary = []string{"internal/directory", "internal/connection", "internal/job", "internal/fault"}
	useCases   = []string{"internal/schedule", "internal/consent", "internal/govern", "internal/reconcile", "internal/api", "internal/pages"}
)

var rooms = []room{
	// main names every concrete type
	{"handler", []string{"functions/...", "internal/..."}},
	// one trigger each: no adapter, no SDK
	{"functions/...", all(useCases, vocabulary, "internal/funchost")},

	// vocabulary: what the others speak in, so it knows none of them
	{"internal/fault", nil},
	{"internal/directory", nil},
	{"internal/connection", []string{"internal/fault"}},
	{"internal/job", []string{"internal/connection", "internal/directory", "internal/fault"}},

	// use cases: they declare the interfaces that adapters fill
	{"internal/schedule", vocabulary},
	{"internal/consent", vocabulary},
	{"internal/govern", vocabulary},
	{"internal/reconcile", vocabulary},
	{"internal/api", all(useCases, vocabulary)},
	{"internal/pages", all(useCases, vocabulary)},
	{"internal/register", vocabulary},

	// adapters: never each other, never a use case
	{"internal/signin", vocabulary},
	{"internal/graph", all(vocabulary, []string{"internal/graph/scan"})},
	{"internal/graph/scan", nil},
	{"internal/tables", vocabulary},
	{"internal/bus", vocabulary},
	{"internal/credential", vocabulary},

	// how the process lives
	{"internal/funchost", []string{"internal/fault", "internal/obs"}},
	{"internal/obs", nil},
	{"internal/telemetry", all(vocabulary, []string{"internal/obs"})},

	// The stand-ins share no code with what they test: a mistake made on both
	// sides would pass.
	{"internal/sandbox/servicebus/...", []string{"internal/sandbox/servicebus/..."}},
	{"internal/sandbox/host/...", []string{"internal/sandbox/..."}},
	{"internal/sandbox/microsoft/...", []string{"internal/sandbox/..."}},
	{"internal/sandbox/tablestore/...", []string{"internal/sandbox/..."}},
	{"internal/sandbox/pki", nil},
	// what puts them together, and the proofs
	{"internal/sandbox/...", []string{"internal/..."}},

	{"internal/repo", nil},
}

// library is a family of packages from elsewhere that only some rooms may
// import, tests apart. The first one that matches an import counts. What
// none matches is free.
type library struct {
	prefixes []string
	rooms    []string
}

var libraries = []library{
	{[]string{"github.com/microsoftgraph/", "github.com/microsoft/kiota-"}, []string{"internal/graph"}},
	// The handler hands the clients' options to the adapters; the sandbox
	// looks into its own store and receives for its own host.
	{[]string{"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"}, []string{"internal/tables", "handler", "internal/sandbox/..."}},
	{[]string{"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"}, []string{"internal/bus", "internal/sandbox/..."}},
	{[]string{"github.com/Azure/azure-sdk-for-go/sdk/azidentity", "github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"}, []string{"internal/credential"}},
	{[]string{"github.com/Azure/azure-sdk-for-go/sdk/azcore"}, []string{"internal/graph", "internal/tables", "internal/bus", "internal/credential", "handler", "internal/sandbox/..."}},
	{[]string{"github.com/Azure/", "github.com/AzureAD/", "github.com/microsoft/"}, nil},
	// what is recorded is told by package telemetry to those who do the work
	{[]string{"go.opentelemetry.io/"}, []string{"internal/telemetry"}},
	{[]string{"github.com/coreos/go-oidc/", "golang.org/x/oauth2"}, []string{"internal/signin"}},
	{[]string{"github.com/danielgtaylor/huma/"}, []string{"internal/api"}},
}

// stdOnly are the rooms that import nothing from elsewhere at all.
var stdOnly = []string{"internal/fault", "internal/connection", "internal/job", "internal/obs", "internal/graph/scan", "internal/sandbox/servicebus/...", "internal/repo"}

// unshipped may be nowhere below the handler, by any way, but for what is
// excepted. The typed Graph packages alone cost minutes and gigabytes to
// compile.
var (
	unshipped = []string{module + "internal/sandbox", "github.com/microsoftgraph/msgraph-sdk-go"}
	excepted  = []string{"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"}
)

const module = "rollcall/"

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// breaches lists every import that the tables forbid: package, import, rule.
func breaches(pkgs []pkg) (bad []string) {
	for _, p := range pkgs {
		name := strings.TrimPrefix(p.ImportPath, module)
		i := slices.IndexFunc(rooms, func(r room) bool { return matches(r.packages, name) })
		if i < 0 {
			bad = append(bad, fmt.Sprintf("%s has no row in rooms", name))
			continue
		}
		for _, imp := range p.Imports {
			if why := judge(rooms[i], name, imp); why != "" {
				bad = append(bad, fmt.Sprintf("%s imports %s: %s", name, imp, why))
			}
		}
		if name != "handler" {
			continue
		}
		for _, dep := range p.Deps {
			if within(unshipped, dep) && !slices.Contains(excepted, dep) {
				bad = append(bad, fmt.Sprintf("%s depends on %s: it must not be in the shipped binary", name, dep))
			}
		}
	}
	return bad
}

// judge returns the rule that an import breaks, or "".
func judge(r room, name, imp string) string {
	if own, ok := strings.CutPrefix(imp, module); ok {
		if !anyMatches(r.may, own) {
			return fmt.Sprintf("%s may import of our own only %v", r.packages, r.may)
		}
		return ""
	}
	if isStd(imp) {
		return ""
	}
	if anyMatches(stdOnly, name) {
		return "the standard library must do there"
	}
	for _, l := range libraries {
		if within(l.prefixes, imp) {
			if !anyMatches(l.rooms, name) {
				return fmt.Sprintf("only %v may", l.rooms)
			}
			return ""
		}
	}
	return ""
}

// isStd reports whether the path is of the standard library: only others
// begin with a host name.
func isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// within reports whether imp is one of the prefixes or below it; a prefix
// that ends in / or - stands for all that begin with it.
func within(prefixes []string, imp string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		return imp == p || strings.HasPrefix(imp, strings.TrimSuffix(p, "/")+"/") || strings.HasSuffix(p, "-") && strings.HasPrefix(imp, p)
	})
}

func anyMatches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

func matches(pattern, name string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == folder || strings.HasPrefix(name, folder+"/")
	}
	return name == pattern
}

func all(a, b []string, more ...string) []string { return slices.Concat(a, b, more) }
