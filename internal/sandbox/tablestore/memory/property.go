package memory

import (
	"slices"
	"strings"

	"rollcall/internal/sandbox/tablestore/flat"
)

// typeSuffix ends the name of a property's type.
const typeSuffix = "@odata.type"

// property is one of a row.
type property struct {
	name, edm string
	kind      flat.Kind
	text      string // the value; of a string without quotes
	raw       string // as it stands in the row, the type included
}

// each yields the properties of a row.
func each(properties string, yield func(property) bool) {
	var edm, prefix string
	scan := flat.Inside(properties)
	for m, ok := scan.Next(); ok; m, ok = scan.Next() {
		raw := prefix + `"` + m.Name + `":` + m.Raw // names are identifiers
		if strings.HasSuffix(m.Name, typeSuffix) {
			edm, prefix = m.Text, raw+","
			continue
		}
		if !yield(property{m.Name, edm, m.Kind, m.Text, raw}) {
			return
		}
		edm, prefix = "", ""
	}
}

func members(properties string) (ps []property) {
	each(properties, func(p property) bool { ps = append(ps, p); return true })
	return ps
}

// value finds a property without taking the others apart.
func value(properties, name string) (edm string, m flat.Member, ok bool) {
	scan := flat.Inside(properties)
	for m, more := scan.Next(); more; m, more = scan.Next() {
		if of, typed := strings.CutSuffix(m.Name, typeSuffix); typed {
			if of == name {
				edm = m.Text
			}
			continue
		}
		if m.Name == name {
			return edm, m, true
		}
	}
	return "", flat.Member{}, false
}

// Select returns those properties of a row that are named, or all if names is
// nil, and with their types or without.
func (r Row) Select(names []string, types bool) string {
	if names == nil && types {
		return r.Properties
	}
	var out []string
	each(r.Properties, func(p property) bool {
		if names != nil && !slices.Contains(names, p.name) {
			return true
		}
		if !types && p.edm != "" {
			p.raw = p.raw[strings.Index(p.raw, `,"`+p.name+`":`)+1:]
		}
		out = append(out, p.raw)
		return true
	})
	return strings.Join(out, ",")
}
