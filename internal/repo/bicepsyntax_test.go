package repo

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// node is one of tree-sitter's, as testdata/bicep.mjs prints it.
type node struct {
	Type, Field, Text, Source string
	Line                      int
	Nodes                     []*node
}

// declaration is a parameter, variable, type, module or output.
type declaration struct {
	name       string
	kind       string
	line       int
	typ        string // as written; empty for variables and modules
	path       string // of a module's file, from infra/
	value      *node  // a parameter's default, if any; a module's or type's object
	decorators map[string][]*node
}

// resource is one declaration of one or, with a loop, several resources.
type resource struct {
	symbol   string
	typ      string // with its version; of a nested one too
	line     int
	existing bool
	nested   bool
	body     *node
	loop     loop
	once     bool // only made if it does not exist
}

// loop is [for item in list: …].
type loop struct {
	item, index string
	list        *node
}

// bicep is one file.
type bicep struct {
	path      string // from infra/
	tree      *node
	scope     string
	imports   map[string]string // type by file
	params    map[string]*declaration
	vars      map[string]*declaration
	types     map[string]*declaration
	modules   map[string]*declaration
	outputs   map[string]*declaration
	resources []*resource
}

// parsed is all of infra/, by path: one start of Node.js for all tests.
var parsed = sync.OnceValues(func() (map[string]*bicep, error) {
	infra, err := filepath.Abs(filepath.Join(root, "infra"))
	if err != nil {
		return nil, err
	}
	args := []string{filepath.Join(root, "internal/repo/testdata/bicep.mjs")}
	err = filepath.WalkDir(infra, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".bicep") {
			args = append(args, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.Command("node", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, &parseError{err, stderr.String()}
	}
	var trees map[string]*node
	if err := json.Unmarshal(out, &trees); err != nil {
		return nil, err
	}
	all := make(map[string]*bicep)
	for path, tree := range trees {
		rel, err := filepath.Rel(infra, path)
		if err != nil {
			return nil, err
		}
		rel = filepath.ToSlash(rel)
		all[rel] = newBicep(rel, tree)
	}
	return all, nil
})

type parseError struct {
	err    error
	stderr string
}

func (e *parseError) Error() string { return e.err.Error() + "\n" + e.stderr }

// bicepFiles is infra/, parsed. Without node_modules the test is skipped,
// unless that is not allowed, as under make test.
func bicepFiles(t *testing.T) map[string]*bicep {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "node_modules", "tree-sitter-bicep")); err != nil && os.Getenv("ROLLCALL_REQUIRE_NODE") == "" {
		t.Skip("tree-sitter-bicep is not installed: run npm ci --ignore-scripts")
	}
	all, err := parsed()
	if err != nil {
		t.Fatalf("parse infra/: %v", err)
	}
	if len(all) < 5 || all["main.bicep"] == nil {
		t.Fatalf("found %d files in infra/, and main.bicep: %v", len(all), all["main.bicep"] != nil)
	}
	return all
}

func newBicep(path string, tree *node) *bicep {
	f := &bicep{
		path: path, tree: tree, scope: "resourceGroup", imports: map[string]string{},
		params: map[string]*declaration{}, vars: map[string]*declaration{}, types: map[string]*declaration{},
		modules: map[string]*declaration{}, outputs: map[string]*declaration{},
	}
	var decorators map[string][]*node
	for _, n := range tree.Nodes {
		if n.Type == "decorators" {
			decorators = decoratorsOf(n)
			continue
		}
		var name string
		if len(n.Nodes) > 0 {
			name = n.Nodes[0].Text
		}
		d := &declaration{name: name, kind: strings.TrimSuffix(n.Type, "_declaration"), line: n.Line, decorators: decorators}
		switch n.Type {
		case "target_scope_assignment":
			f.scope = literal(n.Nodes[0])
		case "import_functionality":
			for _, c := range n.Nodes[:len(n.Nodes)-1] {
				f.imports[c.Text] = filepath.ToSlash(filepath.Join(filepath.Dir(path), literal(n.Nodes[len(n.Nodes)-1])))
			}
		case "parameter_declaration", "output_declaration":
			d.typ = source(n.Nodes[1])
			if len(n.Nodes) > 2 {
				d.value = n.Nodes[2]
			}
			if n.Type == "parameter_declaration" {
				f.params[name] = d
			} else {
				f.outputs[name] = d
			}
		case "variable_declaration":
			d.value = n.Nodes[1]
			f.vars[name] = d
		case "type_declaration":
			d.value = n.Nodes[1]
			f.types[name] = d
		case "module_declaration":
			d.path = filepath.ToSlash(filepath.Join(filepath.Dir(path), literal(n.Nodes[1])))
			d.value = bodyOf(n)
			f.modules[name] = d
		case "resource_declaration":
			_, once := decorators["onlyIfNotExists"]
			f.addResource(n, nil, once)
		}
		if n.Type != "comment" {
			decorators = nil
		}
	}
	return f
}

func (f *bicep) addResource(n *node, parent *resource, once bool) {
	r := &resource{symbol: n.Nodes[0].Text, typ: literal(n.Nodes[1]), line: n.Line, body: bodyOf(n), once: once, nested: parent != nil}
	if parent != nil {
		typ, version, _ := strings.Cut(parent.typ, "@")
		r.typ = typ + "/" + r.typ + "@" + version
	}
	for _, c := range n.Nodes {
		switch c.Type {
		case "existing":
			r.existing = true
		case "for_statement":
			r.loop = loopOf(c)
		}
	}
	f.resources = append(f.resources, r)
	if r.body == nil {
		return
	}
	for _, p := range r.body.Nodes {
		if p.Type == "object_property" && p.Nodes[0].Type == "resource_declaration" {
			f.addResource(p.Nodes[0], r, false)
		}
	}
}

func loopOf(n *node) (l loop) {
	for _, c := range n.Nodes {
		switch {
		case c.Type == "for_loop_parameters":
			l.item, l.index = c.Nodes[0].Text, c.Nodes[1].Text
		case c.Field == "initializer":
			l.item = c.Text
		case c.Field != "body" && l.list == nil:
			l.list = c
		}
	}
	return l
}

// bodyOf is the object of a resource or module, below its loop or condition.
func bodyOf(n *node) *node {
	for _, c := range n.Nodes {
		switch c.Type {
		case "object":
			return c
		case "for_statement", "if_statement":
			return bodyOf(c)
		}
	}
	return nil
}

func decoratorsOf(n *node) map[string][]*node {
	all := make(map[string][]*node)
	for _, d := range n.Nodes {
		if call := d.Nodes[0]; call.Type == "call_expression" {
			all[call.Nodes[0].Text] = arguments(call)
		}
	}
	return all
}

// arguments are those of a call.
func arguments(call *node) []*node {
	for _, c := range call.Nodes {
		if c.Type == "arguments" {
			return c.Nodes
		}
	}
	return nil
}

// property is the value of an object's property, or nil.
func property(object *node, name string) *node {
	if object == nil {
		return nil
	}
	for _, p := range object.Nodes {
		if p.Type == "object_property" && len(p.Nodes) == 2 && key(p.Nodes[0]) == name {
			return p.Nodes[1]
		}
	}
	return nil
}

// key is a property's name, quoted or not.
func key(n *node) string {
	if n.Type == "string" {
		return literal(n)
	}
	return n.Text
}

// literal is a string's text with its escapes resolved; an interpolation in
// it stands as ${}.
func literal(n *node) string {
	if n == nil || n.Type != "string" {
		return ""
	}
	var b strings.Builder
	for _, c := range n.Nodes {
		switch c.Type {
		case "string_content":
			b.WriteString(c.Text)
		case "escape_sequence":
			b.WriteString(strings.TrimPrefix(c.Text, `\`))
		default:
			b.WriteString("${}")
		}
	}
	return b.String()
}

// source is a type as somebody would write it.
func source(n *node) string {
	if n.Type == "array_type" {
		return source(n.Nodes[0]) + "[]"
	}
	if len(n.Nodes) == 1 {
		return source(n.Nodes[0])
	}
	return n.Text
}

// walk calls do for n and all below it.
func (n *node) walk(do func(*node)) {
	if n == nil {
		return
	}
	do(n)
	for _, c := range n.Nodes {
		c.walk(do)
	}
}

// calls are the functions called in n.
func (n *node) calls() (names []string) {
	n.walk(func(c *node) {
		if c.Type == "call_expression" && c.Nodes[0].Type == "identifier" {
			names = append(names, c.Nodes[0].Text)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}
