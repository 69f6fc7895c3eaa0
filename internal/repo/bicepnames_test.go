package repo

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// functions are those of Bicep that infra/ calls. Source: Bicep documentation,
// "Bicep functions" and "Lambda expressions".
var functions = []string{
	"base64", "cidrSubnet", "concat", "empty", "environment", "filter", "guid", "items", "map", "newGuid", "replace", "resourceGroup", "split", "string",
	"subscription", "subscriptionResourceId", "tenant", "toObject", "union", "uniqueString", "utcNow",
}

// decorating are the decorators that infra/ uses. Source: Bicep documentation,
// "Parameters", "User-defined data types", "Resource declaration".
var decorating = []string{"allowed", "description", "export", "maxLength", "maxValue", "metadata", "minLength", "minValue", "onlyIfNotExists", "secure"}

// Whatever an expression names is declared, and whatever is declared is used:
// the compiler's first complaints.
func TestBicepNamesExist(t *testing.T) {
	all := bicepFiles(t)
	for _, f := range all {
		c := &nameCheck{t: t, all: all, f: f, symbols: map[string]bool{}, used: map[string]bool{}}
		for _, r := range f.resources {
			c.symbols[r.symbol] = true
		}
		for _, n := range f.tree.Nodes {
			c.expression(n, nil)
		}
		for _, kind := range []map[string]*declaration{f.params, f.vars} {
			for name, d := range kind {
				if !c.used[name] {
					t.Errorf("infra/%s:%d: %s is never used", f.path, d.line, name)
				}
			}
		}
		for name, from := range f.imports {
			exported := false
			if from := all[from]; from != nil && from.types[name] != nil {
				_, exported = from.types[name].decorators["export"]
			}
			if !exported {
				t.Errorf("infra/%s imports %s from %s, which does not export it", f.path, name, from)
			}
		}
		for name, d := range f.modules {
			c.module(name, d)
		}
	}
}

type nameCheck struct {
	t       *testing.T
	all     map[string]*bicep
	f       *bicep
	symbols map[string]bool // of resources, nested ones too
	used    map[string]bool
}

func (c *nameCheck) fail(n *node, format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("infra/%s:%d: %s", c.f.path, n.Line, fmt.Sprintf(format, args...))
}

// expression looks at n, with the names of loops and lambdas around it.
func (c *nameCheck) expression(n *node, locals []string) {
	c.t.Helper()
	rest := n.Nodes
	switch n.Type {
	case "comment", "type", "primitive_type", "import_functionality", "type_declaration":
		return
	case "parameter_declaration", "output_declaration", "variable_declaration", "resource_declaration", "module_declaration":
		rest = rest[1:] // its own name
	case "decorator":
		if name := n.Nodes[0].Nodes[0].Text; !slices.Contains(decorating, name) {
			c.fail(n, "no decorator is known as %s", name)
		}
		rest = arguments(n.Nodes[0])
	case "object_property":
		if len(rest) == 2 && rest[0].Type == "identifier" {
			rest = rest[1:]
		}
	case "call_expression":
		if fn := rest[0]; fn.Type == "identifier" {
			if !slices.Contains(functions, fn.Text) {
				c.fail(n, "no function is known as %s", fn.Text)
			}
			rest = rest[1:]
		}
	case "lambda_expression":
		locals = append(slices.Clone(locals), rest[0].Text)
		rest = rest[1:]
	case "for_statement":
		l := loopOf(n)
		c.expression(l.list, locals)
		locals = append(slices.Clone(locals), l.item, l.index)
		rest = rest[len(rest)-1:]
	case "resource_expression":
		if sub := rest[1].Text; !c.symbols[sub] {
			c.fail(n, "no resource is declared as %s", sub)
		}
		rest = rest[:1]
	case "member_expression":
		if object := rest[0]; object.Type == "member_expression" && object.Nodes[1].Text == "outputs" {
			if m := c.f.modules[object.Nodes[0].Text]; m != nil && c.all[m.path] != nil && c.all[m.path].outputs[rest[1].Text] == nil {
				c.fail(n, "module %s has no output %s", m.name, rest[1].Text)
			}
		}
	case "identifier":
		c.used[n.Text] = true
		if c.f.params[n.Text] == nil && c.f.vars[n.Text] == nil && c.f.modules[n.Text] == nil && !c.symbols[n.Text] && !slices.Contains(locals, n.Text) {
			c.fail(n, "%s is not declared", n.Text)
		}
	}
	for _, child := range rest {
		c.expression(child, locals)
	}
}

// module checks that a module gets its parameters and no others.
func (c *nameCheck) module(name string, d *declaration) {
	c.t.Helper()
	target := c.all[d.path]
	if target == nil {
		c.t.Errorf("infra/%s:%d: module %s: there is no infra/%s", c.f.path, d.line, name, d.path)
		return
	}
	// Names of deployments may have 64 characters.
	if n := literal(property(d.value, "name")); n == "" || len(n) > 64 {
		c.t.Errorf("infra/%s:%d: module %s: its deployment is named %q", c.f.path, d.line, name, n)
	}
	if c.f.scope != target.scope && property(d.value, "scope") == nil {
		c.t.Errorf("infra/%s:%d: module %s has no scope", c.f.path, d.line, name)
	}
	given := make(map[string]bool)
	if params := property(d.value, "params"); params != nil {
		for _, p := range params.Nodes {
			if p.Type == "object_property" {
				given[key(p.Nodes[0])] = true
			}
		}
	}
	for p := range given {
		if target.params[p] == nil {
			c.t.Errorf("infra/%s:%d: module %s has no parameter %s", c.f.path, d.line, name, p)
		}
	}
	for p, d2 := range target.params {
		_, secure := d2.decorators["secure"]
		if !given[p] && d2.value == nil {
			c.t.Errorf("infra/%s:%d: module %s is not given %s", c.f.path, d.line, name, p)
		}
		if given[p] && secure {
			c.t.Errorf("infra/%s:%d: module %s is given the secure parameter %s, which it draws itself", c.f.path, d.line, name, p)
		}
	}
}

// instance is a file with the values that its parameters get.
type instance struct {
	f      *bicep
	caller *instance
	params *node
}

// lengths finds how long strings can get.
type lengths struct {
	all map[string]*bicep
}

// longest is the most characters that n can have, with the items of loops.
func (l lengths) longest(n *node, in *instance, items map[string]*node) (int, error) {
	switch n.Type {
	case "string":
		total := 0
		for _, c := range n.Nodes {
			switch c.Type {
			case "string_content":
				total += len(c.Text)
			case "escape_sequence":
				total++
			default:
				part, err := l.longest(c.Nodes[0], in, items)
				if err != nil {
					return 0, err
				}
				total += part
			}
		}
		return total, nil
	case "ternary_expression":
		return l.most(n.Nodes[1:], in, items)
	case "identifier":
		if list := items[n.Text]; list != nil {
			return l.most(l.list(list, in).Nodes, in, nil)
		}
		if d := in.f.vars[n.Text]; d != nil {
			return l.longest(d.value, in, nil)
		}
		if d := in.f.params[n.Text]; d != nil {
			if in.caller != nil && property(in.params, n.Text) != nil {
				return l.longest(property(in.params, n.Text), in.caller, nil)
			}
			return bound(d.decorators)
		}
	case "member_expression":
		return l.member(n, in, items)
	case "call_expression":
		args := arguments(n)
		switch n.Nodes[0].Text {
		case "uniqueString":
			return 13, nil // Bicep documentation, "String functions"
		case "guid":
			return 36, nil
		case "replace":
			if len(literal(args[2])) <= len(literal(args[1])) {
				return l.longest(args[0], in, items)
			}
		}
	}
	return 0, fmt.Errorf("line %d: no bound is known for %s %q", n.Line, n.Type, n.Text)
}

// most is the longest of several.
func (l lengths) most(nodes []*node, in *instance, items map[string]*node) (most int, err error) {
	for _, n := range nodes {
		if n.Type == "comment" {
			continue
		}
		part, err := l.longest(n, in, items)
		if err != nil {
			return 0, err
		}
		most = max(most, part)
	}
	return most, nil
}

// list is the array that a loop goes through: itself, or a variable's.
func (l lengths) list(n *node, in *instance) *node {
	if d := in.f.vars[n.Text]; n.Type == "identifier" && d != nil {
		return d.value
	}
	return n
}

func (l lengths) member(n *node, in *instance, items map[string]*node) (int, error) {
	object, name := n.Nodes[0], n.Nodes[1].Text
	// environment().suffixes.storage: core.usgovcloudapi.net is the longest.
	if name == "storage" && object.Type == "member_expression" && object.Nodes[1].Text == "suffixes" {
		return len("core.usgovcloudapi.net"), nil
	}
	if object.Type == "identifier" {
		if list := items[object.Text]; list != nil {
			return l.item(list, name, in)
		}
		for _, r := range in.f.resources {
			if r.symbol == object.Text && name == "name" {
				return l.longest(property(r.body, "name"), in, nil)
			}
		}
	}
	if object.Type == "member_expression" && object.Nodes[1].Text == "outputs" {
		if m := in.f.modules[object.Nodes[0].Text]; m != nil {
			inside := &instance{l.all[m.path], in, property(m.value, "params")}
			return l.longest(inside.f.outputs[name].value, inside, nil)
		}
	}
	return 0, fmt.Errorf("line %d: no bound is known for .%s", n.Line, name)
}

// item is the longest that a property of a loop's items can be.
func (l lengths) item(list *node, name string, in *instance) (int, error) {
	if array := l.list(list, in); array.Type == "array" {
		var values []*node
		for _, object := range array.Nodes {
			values = append(values, property(object, name))
		}
		return l.most(values, in, nil)
	}
	d := in.f.params[list.Text]
	if d == nil {
		return 0, fmt.Errorf("line %d: a loop goes through %s", list.Line, list.Text)
	}
	typ := strings.TrimSuffix(d.typ, "[]")
	from := in.f
	if path := in.f.imports[typ]; path != "" {
		from = l.all[path]
	}
	if from.types[typ] == nil {
		return 0, fmt.Errorf("line %d: %s is of an unknown type %s", d.line, list.Text, d.typ)
	}
	var decorators map[string][]*node
	for _, p := range from.types[typ].value.Nodes {
		switch {
		case p.Type == "decorators":
			decorators = decoratorsOf(p)
		case p.Type == "object_property" && key(p.Nodes[0]) == name:
			return bound(decorators)
		}
	}
	return 0, fmt.Errorf("line %d: %s has no %s", d.line, typ, name)
}

// bound is what a declaration says of its length.
func bound(decorators map[string][]*node) (int, error) {
	if m := decorators["maxLength"]; len(m) == 1 {
		return strconv.Atoi(m[0].Text)
	}
	if a := decorators["allowed"]; len(a) == 1 {
		most := 0
		for _, v := range a[0].Nodes {
			most = max(most, len(literal(v)))
		}
		return most, nil
	}
	return 0, fmt.Errorf("a parameter has no @maxLength")
}

// Names stay within Azure's limits for the longest that anybody may hand in,
// and no module is handed more than it takes.
func TestBicepNamesFit(t *testing.T) {
	facts := factsOf(t)
	l := lengths{bicepFiles(t)}
	measured := 0
	var visit func(in *instance)
	visit = func(in *instance) {
		for _, r := range in.f.resources {
			fact, ok := facts.Types[r.typ]
			if !ok || r.existing {
				continue
			}
			at := fmt.Sprintf("infra/%s:%d (%s)", in.f.path, r.line, r.symbol)
			items := map[string]*node{}
			if r.loop.item != "" {
				items[r.loop.item] = r.loop.list
			}
			n, err := l.longest(property(r.body, "name"), in, items)
			if err != nil {
				t.Errorf("%s: how long its name can get: %v", at, err)
				continue
			}
			measured++
			if n < fact.Name[0] || n > fact.Name[1] {
				t.Errorf("%s: its name can have %d characters, Azure takes %d to %d", at, n, fact.Name[0], fact.Name[1])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(in.f.modules)) {
			m := in.f.modules[name]
			inside := &instance{l.all[m.path], in, property(m.value, "params")}
			for p, d := range inside.f.params {
				limit, err := bound(d.decorators)
				if err != nil || d.typ != "string" {
					continue
				}
				if n, err := l.longest(&node{Type: "identifier", Text: p}, inside, nil); err == nil && n > limit {
					t.Errorf("infra/%s:%d: module %s takes %d characters for %s, and can be given %d", in.f.path, m.line, name, limit, p, n)
				}
			}
			visit(inside)
		}
	}
	visit(&instance{f: l.all["main.bicep"]})
	if measured < 20 {
		t.Errorf("measured %d names: want those of all resources", measured)
	}
}
