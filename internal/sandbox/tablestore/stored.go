package tablestore

import (
	"math"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/sandbox/tablestore/flat"
	"rollcall/internal/sandbox/tablestore/memory"
)

// stored writes the properties of an entity within the limits as the store keeps and
// returns them: without system properties, each value in the form of its type.
// They and the key are one piece of memory that holds nothing else, so that the
// store need not copy them.
func stored(row string, props []property) (key, properties string) {
	const typeName, afterType = `@odata.type":"`, `",`
	var few [8]string // values, as a rule
	raws, size := few[:0], len(row)
	for i := range props {
		p := &props[i]
		if system(p.name) {
			raws = append(raws, "")
			continue
		}
		if size > len(row) {
			size++
		}
		var raw string
		if raw, p.typed = canonical(p); p.typed {
			size += 1 + len(p.name) + len(typeName) + len(p.edm) + len(afterType)
		}
		size += len(p.name) + len(raw) + 3
		raws = append(raws, raw)
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(row)
	for i := range props {
		p := &props[i]
		if system(p.name) {
			continue
		}
		if b.Len() > len(row) {
			b.WriteByte(',')
		}
		if p.typed {
			b.WriteByte('"')
			b.WriteString(p.name) // an identifier: nothing to escape
			b.WriteString(typeName)
			b.WriteString(p.edm)
			b.WriteString(afterType)
		}
		b.WriteByte('"')
		b.WriteString(p.name)
		b.WriteString(`":`)
		b.WriteString(raws[i])
	}
	s := b.String()
	return s[:len(row)], s[len(row):]
}

// system says whether a property is not the client's to set.
func system(name string) bool {
	return name == "PartitionKey" || name == "RowKey" || name == "Timestamp"
}

// canonical returns a value as answers hold it, and whether its type goes with
// it. "Payload format for Table service operations" (documented).
func canonical(p *property) (raw string, typed bool) {
	v := p.value
	switch p.edm {
	case "Edm.Binary", "Edm.DateTime", "Edm.Guid", "Edm.Int64":
		return v.Raw, true
	case "Edm.Boolean":
		return v.Text, false
	case "Edm.Int32":
		n, _ := strconv.Atoi(v.Text) // checked before
		return strconv.Itoa(n), false
	case "Edm.Double":
		f, _ := strconv.ParseFloat(v.Text, 64) // checked before
		switch {
		case math.IsNaN(f):
			return `"NaN"`, true
		case math.IsInf(f, 1):
			return `"Infinity"`, true
		case math.IsInf(f, -1):
			return `"-Infinity"`, true
		case v.Kind == flat.Number && strings.ContainsAny(v.Raw, ".eE"):
			return v.Raw, false
		}
		s := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0" // else it would read as an integer
		}
		return s, false
	}
	return v.Raw, false
}

// appendTime writes a tick with all seven digits.
func appendTime(b []byte, t memory.Tick) []byte {
	return t.Time().AppendFormat(b, "2006-01-02T15:04:05.0000000Z")
}

// etag is the version of an entity as the service names it.
func etag(t memory.Tick) string {
	return `W/"datetime'` + strings.ReplaceAll(string(appendTime(nil, t)), ":", "%3A") + `'"`
}

// noVersion is what no entity has.
const noVersion memory.Tick = -2

// matching reads an operation's If-Match.
func (op *operation) matching() (memory.Tick, *storageError) {
	switch {
	case !op.conditional:
		return 0, nil
	case op.match == "*":
		return memory.Any, nil
	case op.match == "":
		return noVersion, nil
	}
	// A weak tag is required (Azurite (source)).
	inner, weak := strings.CutPrefix(strings.Replace(op.match, "w/", "W/", 1), `W/"`)
	inner, end := strings.CutSuffix(inner, `"`)
	if !weak || !end || strings.Contains(inner, `"`) {
		return 0, bad("InvalidInput", "The etag value '%s' specified in one of the request headers is not valid.", op.match)
	}
	inner, quoted := strings.CutPrefix(inner, "datetime'")
	at, err := time.Parse(time.RFC3339, strings.ReplaceAll(strings.TrimSuffix(inner, "'"), "%3A", ":"))
	if !quoted || err != nil {
		return noVersion, nil
	}
	return memory.Tick(at.UnixNano() / 100), nil
}
