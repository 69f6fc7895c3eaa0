package tablestore

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/tablestore/flat"
)

// Limits of an entity. Azure Tables, "Understanding the Table service data model" (documented).
const (
	maxEntity       = 1 << 20  // bytes, names included
	maxProperties   = 252      // beside PartitionKey, RowKey and Timestamp
	maxPropertyName = 255      // characters
	maxKey          = 1 << 10  // bytes in UTF-16
	maxValue        = 64 << 10 // bytes: binary as is, strings in UTF-16
)

// minDate is the earliest date-time that a property can hold (documented, as above).
var minDate = time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)

// property is one property as the store would keep it.
type property struct {
	name  string
	edm   string // Edm.String if not said
	value flat.Member
	typed bool // answers name its type
}

// checkOperation holds one write of one entity against the limits. Limits that
// depend on what is stored, such as the size of a merged entity, are not seen here.
func checkOperation(method string, res resource, header func(string) (string, bool), body string) (operation, *storageError) {
	op := operation{table: res.table, partition: res.partition, row: res.row, method: method}
	op.match, op.conditional = header("If-Match")
	if method == http.MethodDelete {
		if err := checkKeys(op.partition, op.row); err != nil {
			return op, err
		}
		if !op.conditional { // "Delete Entity" (documented): required
			return op, bad("MissingRequiredHeader", "A required HTTP header was not specified.")
		}
		return op, nil
	}
	props, err := parseEntity(body)
	if err != nil {
		return op, err
	}
	if !res.keyed { // an insert names its keys in the body
		pk, pok := stringProperty(props, "PartitionKey")
		rk, rok := stringProperty(props, "RowKey")
		if !pok || !rok {
			return op, bad("PropertiesNeedValue", "Values have not been specified for all properties in the entity.")
		}
		op.partition, op.row = pk, rk
		prefer, _ := header("Prefer")
		op.method, op.quiet = http.MethodPost, prefer == "return-no-content"
	}
	if err := checkKeys(op.partition, op.row); err != nil {
		return op, err
	}
	op.props = props
	return op, checkProperties(op.partition, op.row, props)
}

func stringProperty(props []property, name string) (string, bool) {
	for _, p := range props {
		if p.name == name {
			return p.value.Text, p.value.Kind == flat.String
		}
	}
	return "", false
}

// checkKeys refuses what keys cannot hold: '/', '\', '#', '?', U+0000–U+001F,
// U+007F–U+009F, or more than 1 KiB (documented, data model).
func checkKeys(partition, row string) *storageError {
	for _, k := range [...]struct{ name, value string }{{"PartitionKey", partition}, {"RowKey", row}} {
		if !utf8.ValidString(k.value) || strings.ContainsFunc(k.value, func(r rune) bool {
			return r == '/' || r == '\\' || r == '#' || r == '?' || r <= 0x1f || r >= 0x7f && r <= 0x9f
		}) {
			return bad("OutOfRangeInput", "The '%s' parameter of value %q is out of range.", k.name, k.value)
		}
		if 2*units(k.value) > maxKey {
			return bad("KeyValueTooLarge", "The '%s' property exceeds the maximum allowed key size.", k.name)
		}
	}
	return nil
}

func checkProperties(partition, row string, props []property) *storageError {
	// The size of an entity, as the storage team has published it: 4 bytes, the
	// keys in UTF-16, and for each property 8 bytes, its name in UTF-16 and its value.
	size, n := 4+2*units(partition)+2*units(row), 0
	for _, p := range props {
		if system(p.name) {
			continue
		}
		n++
		if utf8.RuneCountInString(p.name) > maxPropertyName {
			return bad("PropertyNameTooLong", "The property name exceeds the maximum allowed length.")
		}
		if !identifier(p.name) {
			return bad("PropertyNameInvalid", "The property name is invalid.")
		}
		bytes, err := valueSize(p)
		if err != nil {
			return err
		}
		size += 8 + 2*units(p.name) + bytes
	}
	if n > maxProperties {
		return bad("TooManyProperties", "The entity contains more properties than allowed.")
	}
	if size > maxEntity {
		return bad("EntityTooLarge", "The entity is larger than the maximum size permitted.")
	}
	return nil
}

// valueSize returns a value's bytes in the store and refuses values outside
// their type's range.
func valueSize(p property) (int, *storageError) {
	s, text, valid, size := p.value.Text, p.value.Kind == flat.String, false, 8
	switch p.edm {
	case "", "Edm.String":
		if !text { // boolean, int32 or double: at most 8
			valid = p.edm == ""
			break
		}
		if size = 4 + 2*units(s); size > 4+maxValue {
			return 0, tooLarge()
		}
		valid = true
	case "Edm.Binary":
		if size, valid = binarySize(s); text && valid && size > maxValue {
			return 0, tooLarge()
		}
		size, valid = size+4, valid && text
	case "Edm.DateTime":
		t, err := time.Parse(time.RFC3339, s)
		if valid = text && err == nil; valid && t.Before(minDate) {
			return 0, bad("OutOfRangeInput", "The '%s' parameter of value '%s' is out of range.", p.name, s)
		}
	case "Edm.Int64":
		_, err := strconv.ParseInt(s, 10, 64)
		valid = text && err == nil
	case "Edm.Guid":
		_, err := uuid.Parse(s)
		size, valid = 16, text && err == nil && len(s) == 36
	case "Edm.Int32": // it and the next two may be texts, too
		_, err := strconv.ParseInt(s, 10, 32)
		valid = err == nil
	case "Edm.Double":
		_, err := strconv.ParseFloat(s, 64)
		valid = err == nil && (p.value.Kind == flat.Number || text)
	case "Edm.Boolean":
		valid = s == "true" || s == "false"
	}
	if !valid {
		return 0, bad("InvalidInput", "An error occurred while processing this request: property '%s' is no %s.", p.name, p.edm)
	}
	return size, nil
}

// binarySize returns how many bytes a text in base64 stands for.
func binarySize(s string) (size int, ok bool) {
	const group = 4
	whole := max(0, len(s)-1) / group * group // the last group may be padded
	wrong := byte(0)
	for text := s[:whole]; text != ""; text = text[group:] {
		wrong |= notBase64[text[0]] | notBase64[text[1]] | notBase64[text[2]] | notBase64[text[3]]
	}
	if wrong != 0 { // line breaks, or an error
		b, err := base64.StdEncoding.DecodeString(s)
		return len(b), err == nil
	}
	var last [group]byte
	n, err := base64.StdEncoding.Decode(last[:], append(make([]byte, 0, group), s[whole:]...))
	return whole/group*3 + n, err == nil
}

// notBase64 is 1 for what is no digit in base64.
var notBase64 = func() (t [256]byte) {
	for c := range t {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", byte(c)) < 0 {
			t[c] = 1
		}
	}
	return t
}()

func tooLarge() *storageError {
	return bad("PropertyValueTooLarge", "The property value exceeds the maximum allowed size (64KB). If the property value is a string, it is UTF-16 encoded and the maximum number of characters should be 32K or less.")
}

// parseEntity reads an entity's JSON. Annotations are folded into the
// properties that they describe, and nulls are dropped, as the store does.
func parseEntity(body string) ([]property, *storageError) {
	var (
		props = make([]property, 0, 8)
		types []flat.Member
		names = make([]string, 0, 16)
		scan  = flat.Object(body)
	)
	for m, ok := scan.Next(); ok; m, ok = scan.Next() {
		if names = append(names, m.Name); seenBefore(names) {
			return nil, bad("DuplicatePropertiesSpecified", "A property is specified more than one time.")
		}
		switch {
		case strings.HasSuffix(m.Name, "@odata.type"):
			types = append(types, m)
		case strings.HasPrefix(m.Name, "odata."), strings.Contains(m.Name, "@odata."), m.Kind == flat.Null:
		default:
			props = append(props, property{name: m.Name, value: m})
		}
	}
	if scan.Failed() {
		return nil, bad("InvalidInput", "An error occurred while processing this request.")
	}
	for _, t := range types {
		for i := range props {
			if len(props[i].name)+len("@odata.type") == len(t.Name) && strings.HasPrefix(t.Name, props[i].name) {
				props[i].edm = t.Text
			}
		}
	}
	return props, nil
}

// seenBefore says whether the last name stands among the others. Entities have
// few properties; of one with hundreds this takes a fraction of a millisecond.
func seenBefore(names []string) bool {
	last := names[len(names)-1]
	for _, n := range names[:len(names)-1] {
		if n == last {
			return true
		}
	}
	return false
}

// tableName reads the table to be made.
func tableName(body string) string {
	scan := flat.Object(body)
	for m, ok := scan.Next(); ok; m, ok = scan.Next() {
		if m.Name == "TableName" && m.Kind == flat.String {
			return m.Text
		}
	}
	return "" // the check of names refuses it
}

// identifier follows C#'s rules for identifiers, which property names obey
// (documented, data model).
func identifier(s string) bool {
	for i, r := range s {
		if r == '_' || r|0x20 >= 'a' && r|0x20 <= 'z' {
			continue
		}
		if unicode.In(r, unicode.L, unicode.Nl) {
			continue
		}
		if i == 0 || !unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Cf) {
			return false
		}
	}
	return s != ""
}

// units is a string's length in UTF-16.
func units(s string) int {
	n := 0
	for n < len(s) && s[n] < utf8.RuneSelf {
		n++
	}
	s = s[n:]
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}
