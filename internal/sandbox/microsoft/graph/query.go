package graph

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// errQuery is wrapped by every refusal of a query option.
var errQuery = errors.New("query")

// selected reads $select; without it Graph's default set is shown.
func selected(list string, without tenant.Props) (tenant.Props, error) {
	if list == "" {
		return without, nil
	}
	show := tenant.PropID
	for name := range strings.SplitSeq(list, ",") {
		p, err := tenant.Prop(strings.TrimSpace(name))
		if err != nil {
			return 0, err
		}
		show |= p
	}
	return show, nil
}

// expanded reads $expand, of which only manager is known, and returns the
// properties of the manager to show, or none.
func expanded(clause string) (tenant.Props, error) {
	clause = strings.TrimSpace(clause)
	if clause == "" {
		return 0, nil
	}
	rest, ok := strings.CutPrefix(clause, "manager")
	if !ok {
		return 0, fmt.Errorf("%w: could not find a property to expand in '%.64s'", errQuery, clause)
	}
	if rest == "" {
		return tenant.PropDefault, nil
	}
	list, ok := strings.CutPrefix(rest, "($select=")
	list, end := strings.CutSuffix(list, ")")
	if !ok || !end || list == "" {
		return 0, fmt.Errorf("%w: $expand '%.64s': only manager and manager($select=…) are supported", errQuery, clause)
	}
	show, err := selected(list, 0)
	return show &^ tenant.PropManager, err
}

// pick shows the properties of an object that $select names, or all.
func pick(sel, kind string, all map[string]any) (map[string]any, error) {
	if sel == "" {
		return all, nil
	}
	out := map[string]any{}
	for name := range strings.SplitSeq(sel, ",") {
		v, ok := all[strings.TrimSpace(name)]
		if !ok {
			return nil, fmt.Errorf("%w: could not find a property named '%.64s' on type 'microsoft.graph.%s'", errQuery, name, kind)
		}
		out[strings.TrimSpace(name)] = v
	}
	return out, nil
}

// maxTop is the most users on a page, defaultTop what comes without $top
// (documented, "List users").
const (
	maxTop     = 999
	defaultTop = 100
)

func top(s string) (int, error) {
	if s == "" {
		return defaultTop, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxTop {
		return 0, fmt.Errorf("%w: invalid page size specified: '%.20s'. Must be between 1 and %d inclusive", errQuery, s, maxTop)
	}
	return n, nil
}

// allow refuses options that the operation does not know.
func (c call) allow(names ...string) error {
	for k, vs := range c.query {
		if strings.HasPrefix(k, "$") && !contains(names, k) {
			return fmt.Errorf("%w: option '%.32s' is not supported here", errQuery, k)
		}
		if len(vs) > 1 {
			return fmt.Errorf("%w: option '%.32s' is given twice", errQuery, k)
		}
	}
	return nil
}

func contains(names []string, k string) bool {
	for _, n := range names {
		if n == k {
			return true
		}
	}
	return false
}

func (c call) eventual() bool { return strings.EqualFold(c.Header.Get("ConsistencyLevel"), "eventual") }

// refused answers an error of a query option. A property outside the main
// store is a 501 (documented, "Use delta query to track changes").
func (s *Server) refused(c call, err error) wire.Reply {
	var elsewhere tenant.NotTracked
	if errors.As(err, &elsewhere) {
		return s.fail(c.Request, http.StatusNotImplemented, "NotImplemented", "This operation target is not yet supported.")
	}
	return s.fail(c.Request, http.StatusBadRequest, "BadRequest", err.Error())
}

// missing answers that no object has the ID.
func (s *Server) missing(c call, id string) wire.Reply {
	return s.fail(c.Request, http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '"+id+"' does not exist or one of its queried reference-property objects are not present.")
}
