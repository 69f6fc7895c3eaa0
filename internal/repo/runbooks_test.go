package repo

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// papers are the texts under docs, by name.
func papers(t *testing.T, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, p := range paths {
		rel, err := filepath.Rel(root, p)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(rel)] = read(t, rel)
	}
	return texts
}

// operation is what openapi.json says of one method and path.
type operation struct {
	path   string
	params []string
}

// document reads internal/api/openapi.json: the operations by method, and every
// name that a property has somewhere.
func document(t *testing.T) (byMethod map[string][]operation, properties map[string]bool) {
	t.Helper()
	var doc struct {
		Paths      map[string]map[string]struct{ Parameters []struct{ Name, In string } }
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "internal/api/openapi.json")), &doc); err != nil {
		t.Fatal(err)
	}
	byMethod, properties = make(map[string][]operation), make(map[string]bool)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o := operation{path: path}
			for _, p := range op.Parameters {
				if p.In == "query" {
					o.params = append(o.params, p.Name)
				}
			}
			byMethod[strings.ToUpper(method)] = append(byMethod[strings.ToUpper(method)], o)
		}
	}
	for _, s := range doc.Components.Schemas {
		for name := range s.Properties {
			properties[name] = true
		}
	}
	if len(byMethod["POST"]) < 10 || len(properties) < 100 {
		t.Fatal("openapi.json was not read")
	}
	return byMethod, properties
}

// matches reports whether the path of a call, in which variables of the shell
// stand for IDs, is the operation's.
func (o operation) matches(path string) bool {
	want, got := strings.Split(o.path, "/"), strings.Split(path, "/")
	return len(want) == len(got) && !slices.ContainsFunc(want, func(s string) bool {
		g := got[0]
		got = got[1:]
		return s != g && (!strings.HasPrefix(s, "{") || !strings.HasPrefix(g, "$"))
	})
}

// logged are the constant messages that the shipped code logs, and the keys
// that its lines have.
func logged(t *testing.T) (messages, keys map[string]bool) {
	t.Helper()
	messages = make(map[string]bool)
	keys = map[string]bool{"time": true, "level": true, "msg": true, "invocation": true, "traceparent": true} // slog's, and package obs'
	text := func(e ast.Expr) string {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return ""
		}
		s, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	sources(t, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/sandbox/") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, read(t, path), 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			first := map[string]int{
				"InfoContext": 1, "WarnContext": 1, "ErrorContext": 1, "DebugContext": 1, "Info": 0, "Warn": 0, "Error": 0, "Debug": 0, "Log": 2, "With": -1,
			}
			at, ok := first[f.Sel.Name]
			if !ok || at >= len(call.Args) {
				return true
			}
			if at >= 0 {
				messages[text(call.Args[at])] = true
			}
			for i := at + 1; i < len(call.Args); i += 2 {
				keys[text(call.Args[i])] = true
			}
			return true
		})
	})
	delete(messages, "")
	delete(keys, "")
	if len(messages) < 40 {
		t.Fatalf("found %d messages in the code", len(messages))
	}
	return messages, keys
}

var (
	fence      = regexp.MustCompile("(?ms)^ *```(\\w+)\n(.*?)^ *```$")
	shown      = regexp.MustCompile("`\"([^`\"]+)\"`")
	quoted     = regexp.MustCompile(`"([^"]+)"`)
	lineKey    = regexp.MustCompile(`\bline\.(\w+)`)
	called     = regexp.MustCompile(`\b(?:rollcall )?(GET|POST|PUT|PATCH|DELETE) "?(/v1/[^\s"` + "`" + `)]*)`)
	program    = regexp.MustCompile(`\bjq (?:--[\w-]+ )*('[^']*'|\.[\w.]+)`)
	selected   = regexp.MustCompile(`\.([A-Za-z]\w*)`)
	shorthand  = regexp.MustCompile(`[{,] *(\w+) *(?:[,}])`)
	sentBody   = regexp.MustCompile(`--json ['"](\{.*?\})['"](?:[\s)` + "`" + `]|$)`)
	jsonKey    = regexp.MustCompile(`\\?"(\w+)\\?":`)
	strictName = regexp.MustCompile("`\\$?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`|\\$\\{?((?:ROLLCALL|AZURE)_[A-Z_]+)")
)

// What a runbook tells people to look for and to type exists: messages and keys
// of the log, calls of the API with their parameters and properties.
func TestRunbooksAreTrue(t *testing.T) {
	messages, keys := logged(t)
	operations, properties := document(t)
	told, calls := 0, 0
	for name, text := range papers(t, "docs/runbooks/*.md") {
		message := func(m string) {
			told++
			if !messages[m] {
				t.Errorf("%s: nothing logs %q", name, m)
			}
		}
		for _, m := range shown.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			message(m[1])
		}
		for _, block := range fence.FindAllStringSubmatch(text, -1) {
			if block[1] != "kusto" {
				continue
			}
			for line := range strings.Lines(block[2]) {
				for _, m := range lineKey.FindAllStringSubmatch(line, -1) {
					if !keys[m[1]] {
						t.Errorf("%s: no line of the log has the key %s", name, m[1])
					}
				}
				_, about, ok := strings.Cut(line, "line.msg ")
				if !ok || !strings.HasPrefix(about, "==") && !strings.HasPrefix(about, "in (") {
					continue
				}
				about, _, _ = strings.Cut(about, " and ")
				for _, m := range quoted.FindAllStringSubmatch(about, -1) {
					message(m[1])
				}
			}
		}
		for _, m := range called.FindAllStringSubmatch(text, -1) {
			calls++
			path, query, _ := strings.Cut(m[2], "?")
			i := slices.IndexFunc(operations[m[1]], func(o operation) bool { return o.matches(path) })
			if i < 0 {
				t.Errorf("%s: the API has no %s %s", name, m[1], path)
				continue
			}
			for pair := range strings.SplitSeq(query, "&") {
				key, _, ok := strings.Cut(pair, "=")
				if ok && !slices.Contains(operations[m[1]][i].params, key) {
					t.Errorf("%s: %s %s has no parameter %s", name, m[1], path, key)
				}
			}
		}
		known := func(p, where string) {
			if !properties[p] {
				t.Errorf("%s: the API has no property %s: %s", name, p, where)
			}
		}
		for _, m := range program.FindAllStringSubmatch(text, -1) {
			body := quoted.ReplaceAllString(m[1], `""`)
			for _, p := range selected.FindAllStringSubmatch(body, -1) {
				known(p[1], m[1])
			}
			for open := range strings.SplitSeq(body, "{") {
				inside, _, ok := strings.Cut(open, "}")
				for _, p := range shorthand.FindAllStringSubmatch("{"+strings.ReplaceAll(inside, ",", ",,")+"}", -1) {
					if ok {
						known(p[1], m[1])
					}
				}
			}
		}
		for _, m := range sentBody.FindAllStringSubmatch(text, -1) {
			for _, p := range jsonKey.FindAllStringSubmatch(m[1], -1) {
				known(p[1], m[1])
			}
		}
	}
	if told < 40 || calls < 30 {
		t.Errorf("checked %d messages and %d calls: the runbooks were not read", told, calls)
	}
}

// A runbook has its parts in order, and the list names each; the alerts in
// Bicep lead to runbooks that are there.
func TestRunbooksAreWhole(t *testing.T) {
	const list = "docs/runbooks/README.md"
	parts := []string{"\n## What you see\n", "\n## What it means\n", "\n## What to check\n", "\n## What to do\n", "\n## It is over when\n"}
	books := papers(t, "docs/runbooks/*.md")
	if len(books) < 8 || books[list] == "" {
		t.Fatalf("found %d runbooks", len(books))
	}
	for name, text := range books {
		if name == list {
			continue
		}
		at := 0
		for _, p := range parts {
			i := strings.Index(text, p)
			if i < at {
				t.Errorf("%s: want the part %q, after the one before", name, strings.TrimSpace(p))
			}
			at = i
		}
		if base := filepath.Base(name); strings.Count(books[list], "]("+base+")") != 1 {
			t.Errorf("%s does not list %s", list, base)
		}
	}
	for _, pattern := range []string{"infra/*.bicep", "infra/modules/*.bicep"} {
		for name, text := range papers(t, pattern) {
			for _, m := range regexp.MustCompile(`docs/runbooks/([\w-]+\.md)`).FindAllStringSubmatch(text, -1) {
				if books["docs/runbooks/"+m[1]] == "" {
					t.Errorf("%s names the runbook %s, which is not there", name, m[1])
				}
			}
		}
	}
}

// Operators' papers name settings, values of azd's environment and other papers
// as they are.
func TestPapersNameWhatIs(t *testing.T) {
	given := make(map[string]bool)
	for _, m := range settingRow.FindAllStringSubmatch(read(t, "README.md"), -1) {
		given[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^output ([A-Z_]+) `).FindAllStringSubmatch(read(t, "infra/main.bicep"), -1) {
		given[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\$\{(ROLLCALL_[A-Z_]+|AZURE_[A-Z_]+)`).FindAllStringSubmatch(read(t, "infra/main.parameters.json"), -1) {
		given[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^ +([A-Z_]+):`).FindAllStringSubmatch(read(t, ".github/workflows/deploy.yml"), -1) {
		given[m[1]] = true
	}
	link := regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)
	all := papers(t, "docs/*.md")
	for name, text := range papers(t, "docs/runbooks/*.md") {
		all[name] = text
	}
	all["SECURITY.md"] = read(t, "SECURITY.md")
	checked := []string{"cost", "limits", "sizing", "security", "data-map", "upgrade", "releases"}
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(filepath.FromSlash(name)), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
		if base := strings.TrimSuffix(filepath.Base(name), ".md"); !strings.HasPrefix(name, "docs/runbooks/") && !slices.Contains(checked, base) {
			continue
		}
		for _, m := range strictName.FindAllStringSubmatch(text, -1) {
			if n := m[1] + m[2]; !given[n] {
				t.Errorf("%s names %s, which is no setting, output or variable", name, n)
			}
		}
	}
	for _, base := range checked {
		if all["docs/"+base+".md"] == "" {
			t.Errorf("no docs/%s.md", base)
		}
	}
}

// The security model tells every role that the deployment gives, the data map
// every table.
func TestSecurityPapersAreWhole(t *testing.T) {
	roles := regexp.MustCompile(`(?m)^var (\w+) = '[0-9a-f-]{36}'$`).FindAllStringSubmatch(read(t, "infra/modules/roles.bicep"), -1)
	for _, m := range roles {
		words := strings.Fields(regexp.MustCompile(`[A-Z]`).ReplaceAllString(m[1], " $0"))
		words[0] = strings.ToUpper(words[0][:1]) + words[0][1:]
		if role := strings.Join(words, " "); !strings.Contains(read(t, "docs/security.md"), "\n| "+role+" | ") {
			t.Errorf("docs/security.md does not tell the role %s", role)
		}
	}
	tables := quoted.FindAllStringSubmatch(strings.ReplaceAll(found(t, "infra/modules/storage.bicep", `var tables = \[(.*)\]`), "'", `"`), -1)
	for _, m := range tables {
		if !strings.Contains(read(t, "docs/data-map.md"), "\n| `"+m[1]+"` | ") {
			t.Errorf("docs/data-map.md does not tell the table %s", m[1])
		}
	}
	// Kinds of rows, as their keys begin.
	kinds := regexp.MustCompile(`(?m)^\t\w+ += "([a-z]+!)"`).FindAllStringSubmatch(read(t, "internal/tables/keys.go"), -1)
	for _, m := range kinds {
		if !strings.Contains(read(t, "docs/data-map.md"), "`"+m[1]+"`") {
			t.Errorf("docs/data-map.md does not tell the rows %s", m[1])
		}
	}
	if len(roles) < 5 || len(tables) < 5 || len(kinds) < 8 {
		t.Errorf("read %d roles, %d tables, %d kinds of rows", len(roles), len(tables), len(kinds))
	}
}

// The arithmetic of docs/cost.md is right: each "a × b ÷ c = d", within what
// its last digit can show.
func TestCostIsReckonedRight(t *testing.T) {
	reckoning := regexp.MustCompile(`\$?([\d,.]*\d)((?: [×÷+−] \$?[\d,.]*\d)+) = \$?([\d,.]*\d)`)
	term := regexp.MustCompile(`([×÷+−]) \$?([\d,.]*\d)`)
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	found := reckoning.FindAllStringSubmatch(read(t, "docs/cost.md"), -1)
	if len(found) < 10 {
		t.Fatalf("docs/cost.md shows %d reckonings", len(found))
	}
	for _, m := range found {
		v := number(m[1])
		for _, op := range term.FindAllStringSubmatch(m[2], -1) {
			switch n := number(op[2]); op[1] {
			case "×":
				v *= n
			case "÷":
				v /= n
			case "+":
				v += n
			default:
				v -= n
			}
		}
		_, decimals, _ := strings.Cut(m[3], ".")
		if got := number(m[3]); math.Abs(got-v) > 0.51*math.Pow10(-len(decimals)) {
			t.Errorf("docs/cost.md: %s, it is %g", m[0], v)
		}
	}
}
