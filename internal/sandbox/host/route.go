package host

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// segment is one part of a route: a literal, a parameter, or all the rest.
type segment struct {
	literal    string
	param      string
	constraint string
	rest       bool
	optional   bool
}

// pattern is a parsed route template.
type pattern []segment

var (
	paramName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	alphaValue = regexp.MustCompile(`^[A-Za-z]*$`)
	guidValue  = regexp.MustCompile(`^(?i)(\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|\([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})$`)
)

// mount parses the function's route below the prefix.
func (f *function) mount(prefix string) error {
	if f.trigger.kind != httpTrigger {
		return nil
	}
	route := strings.TrimPrefix(f.trigger.route, "/")
	full := route
	if prefix != "" {
		full = prefix + "/" + route
	}
	// Routes that begin with these words are the host's own: a prefix match,
	// so "administrators" is refused as well (source: ScriptHost.ValidateFunction).
	for _, reserved := range []string{"admin", "runtime"} {
		if len(full) >= len(reserved) && strings.EqualFold(full[:len(reserved)], reserved) {
			return fmt.Errorf("function %s: the specified route conflicts with one or more built in routes: %q", f.name, full)
		}
	}
	p, err := parseRoute(full)
	if err != nil {
		return fmt.Errorf("function %s: route %q: %w", f.name, full, err)
	}
	f.pattern = p
	return nil
}

// parseRoute reads an ASP.NET Core route template with whole-segment
// parameters: {name}, {name?}, {name:constraint}, {*name}.
func parseRoute(s string) (pattern, error) {
	if s == "" {
		return pattern{}, nil
	}
	var p pattern
	seen := map[string]bool{}
	parts := strings.Split(strings.TrimSuffix(s, "/"), "/")
	for i, part := range parts {
		if part == "" {
			return nil, errors.New("an empty segment")
		}
		if !strings.ContainsAny(part, "{}") {
			if strings.ContainsAny(part, "?~*") {
				return nil, fmt.Errorf("the literal %q is invalid", part)
			}
			p = append(p, segment{literal: part})
			continue
		}
		inner, ok := strings.CutPrefix(part, "{")
		inner, ok2 := strings.CutSuffix(inner, "}")
		if !ok || !ok2 || strings.ContainsAny(inner, "{}=") {
			return nil, fmt.Errorf("the sandbox knows only whole-segment parameters, without defaults: %q", part)
		}
		var seg segment
		inner, seg.optional = strings.CutSuffix(inner, "?")
		trimmed := strings.TrimLeft(inner, "*")
		seg.rest = trimmed != inner
		if len(inner)-len(trimmed) > 2 {
			return nil, fmt.Errorf("%q has too many stars", part)
		}
		seg.param, seg.constraint, _ = strings.Cut(trimmed, ":")
		if !paramName.MatchString(seg.param) || seen[strings.ToLower(seg.param)] {
			return nil, fmt.Errorf("the parameter name %q is invalid or used twice", seg.param)
		}
		seen[strings.ToLower(seg.param)] = true
		if !slices.Contains([]string{"", "int", "long", "bool", "alpha", "guid"}, seg.constraint) {
			return nil, fmt.Errorf("the sandbox does not know the constraint %q", seg.constraint)
		}
		if (seg.rest || seg.optional) && i != len(parts)-1 {
			return nil, fmt.Errorf("%q must be the last segment", part)
		}
		p = append(p, seg)
	}
	return p, nil
}

// split cuts an escaped path into segments as the web server sees them: dot
// segments resolved, escapes decoded except that of the slash (source: Kestrel, PathDecoder).
func split(escaped string) []string {
	var out []string
	for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/") {
		keep := strings.ReplaceAll(strings.ReplaceAll(part, "%2F", "%252F"), "%2f", "%252f")
		if dec, err := url.PathUnescape(keep); err == nil {
			part = dec
		}
		switch part {
		case ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, part)
		}
	}
	if len(out) == 1 && out[0] == "" {
		return nil
	}
	return out
}

// match says whether a path is one of the pattern's.
func (p pattern) match(path []string) bool {
	for i, seg := range p {
		switch {
		case seg.rest:
			return len(path) >= i && satisfies(strings.Join(path[i:], "/"), seg.constraint)
		case i >= len(path):
			return seg.optional
		case seg.param == "":
			if !strings.EqualFold(seg.literal, path[i]) {
				return false
			}
		case path[i] == "" || !satisfies(path[i], seg.constraint):
			return false
		}
	}
	return len(path) <= len(p)
}

func satisfies(v, constraint string) bool {
	switch constraint {
	case "int":
		_, err := strconv.ParseInt(v, 10, 32)
		return err == nil
	case "long":
		_, err := strconv.ParseInt(v, 10, 64)
		return err == nil
	case "bool":
		return strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
	case "alpha":
		return alphaValue.MatchString(v)
	case "guid":
		return guidValue.MatchString(v)
	}
	return true
}

// rank orders patterns from the most specific: per segment literal,
// constrained parameter, parameter, constrained rest, rest (source: ASP.NET
// Core, RoutePrecedence.ComputeInbound).
func (p pattern) rank() []int {
	var r []int
	for _, s := range p {
		n := 3
		switch {
		case s.param == "":
			n = 1
		case s.rest:
			n = 5
		}
		if s.constraint != "" {
			n--
		}
		r = append(r, n)
	}
	return r
}

// checkRoutes sorts functions by their routes, the most specific first, and
// refuses two that would answer the same requests: which one the host would
// take is not documented.
func checkRoutes(fs []*function) error {
	slices.SortStableFunc(fs, func(a, b *function) int { return slices.Compare(a.pattern.rank(), b.pattern.rank()) })
	for i, a := range fs {
		for _, b := range fs[:i] {
			if strings.EqualFold(a.name, b.name) {
				return fmt.Errorf("functions %s and %s: names differ only in case", b.name, a.name)
			}
			if a.trigger.kind == httpTrigger && b.trigger.kind == httpTrigger && a.pattern.same(b.pattern) && overlap(a.trigger.methods, b.trigger.methods) {
				return fmt.Errorf("functions %s and %s have the same route and method", b.name, a.name)
			}
		}
	}
	return nil
}

func (p pattern) same(q pattern) bool {
	return slices.EqualFunc(p, q, func(a, b segment) bool {
		return strings.EqualFold(a.literal, b.literal) && a.rest == b.rest && a.constraint == b.constraint && (a.param == "") == (b.param == "")
	})
}

func overlap(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(m string) bool { return allows(b, m) })
}

// allows says whether a method is among a trigger's; none named means all (documented).
func allows(methods []string, m string) bool {
	return len(methods) == 0 || slices.ContainsFunc(methods, func(x string) bool { return strings.EqualFold(x, m) })
}
