package tablestore

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
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
	value any    // string, bool or json.Number
}

// checkOperation holds one write of one entity against the limits. Limits that
// depend on what is stored, such as the size of a merged entity, are not seen here.
func checkOperation(method string, res resource, body []byte) (operation, *storageError) {
	op := operation{table: res.table, partition: res.partition, row: res.row}
	if method == http.MethodDelete {
		return op, checkKeys(op)
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
	}
	if err := checkKeys(op); err != nil {
		return op, err
	}
	return op, checkProperties(op, props)
}

func stringProperty(props []property, name string) (string, bool) {
	for _, p := range props {
		if p.name == name {
			s, ok := p.value.(string)
			return s, ok
		}
	}
	return "", false
}

// checkKeys refuses what keys cannot hold: '/', '\', '#', '?', U+0000–U+001F,
// U+007F–U+009F, or more than 1 KiB (documented, data model).
func checkKeys(op operation) *storageError {
	for _, k := range []struct{ name, value string }{{"PartitionKey", op.partition}, {"RowKey", op.row}} {
		if !utf8.ValidString(k.value) || strings.ContainsFunc(k.value, func(r rune) bool {
			return strings.ContainsRune(`/\#?`, r) || r <= 0x1f || r >= 0x7f && r <= 0x9f
		}) {
			return bad("OutOfRangeInput", "The '%s' parameter of value %q is out of range.", k.name, k.value)
		}
		if 2*units(k.value) > maxKey {
			return bad("KeyValueTooLarge", "The '%s' property exceeds the maximum allowed key size.", k.name)
		}
	}
	return nil
}

func checkProperties(op operation, props []property) *storageError {
	// The size of an entity, as the storage team has published it: 4 bytes, the
	// keys in UTF-16, and for each property 8 bytes, its name in UTF-16 and its value.
	size, n := 4+2*units(op.partition)+2*units(op.row), 0
	for _, p := range props {
		switch p.name {
		case "PartitionKey", "RowKey", "Timestamp":
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
	invalid := bad("InvalidInput", "An error occurred while processing this request: property '%s' is no %s.", p.name, p.edm)
	s, text := p.value.(string)
	switch p.edm {
	case "Edm.Binary":
		b, err := base64.StdEncoding.DecodeString(s)
		if !text || err != nil {
			return 0, invalid
		}
		if len(b) > maxValue {
			return 0, tooLarge()
		}
		return 4 + len(b), nil
	case "Edm.DateTime":
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return 0, invalid
		}
		if t.Before(minDate) {
			return 0, bad("OutOfRangeInput", "The '%s' parameter of value '%s' is out of range.", p.name, s)
		}
		return 8, nil
	case "Edm.Int64":
		if _, err := strconv.ParseInt(s, 10, 64); err != nil {
			return 0, invalid
		}
		return 8, nil
	case "Edm.Guid":
		return 16, nil
	case "", "Edm.String":
		if !text {
			return 8, nil // boolean, int32 or double: at most 8
		}
		if 2*units(s) > maxValue {
			return 0, tooLarge()
		}
		return 4 + 2*units(s), nil
	default:
		return 8, nil
	}
}

func tooLarge() *storageError {
	return bad("PropertyValueTooLarge", "The property value exceeds the maximum allowed size (64KB). If the property value is a string, it is UTF-16 encoded and the maximum number of characters should be 32K or less.")
}

// parseEntity reads an entity's JSON. Annotations are folded into the
// properties that they describe, and nulls are dropped, as the store does.
func parseEntity(body []byte) ([]property, *storageError) {
	invalid := bad("InvalidInput", "An error occurred while processing this request.")
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, invalid
	}
	var props []property
	types, seen := map[string]string{}, map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, invalid
		}
		name := t.(string) // a key: the decoder allows nothing else here
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, invalid
		}
		if seen[name] {
			return nil, bad("DuplicatePropertiesSpecified", "A property is specified more than one time.")
		}
		seen[name] = true
		if of, ok := strings.CutSuffix(name, "@odata.type"); ok {
			types[of], _ = value.(string)
			continue
		}
		if strings.HasPrefix(name, "odata.") || strings.Contains(name, "@odata.") || value == nil {
			continue
		}
		switch value.(type) {
		case map[string]any, []any:
			return nil, invalid
		}
		props = append(props, property{name: name, value: value})
	}
	if _, err := d.Token(); err != nil {
		return nil, invalid
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid
	}
	for i := range props {
		props[i].edm = types[props[i].name]
	}
	return props, nil
}

// tableName reads the table to be made; the store judges the rest.
func tableName(body []byte) string {
	var t struct{ TableName string }
	_ = json.Unmarshal(body, &t) // no name: the store refuses it
	return t.TableName
}

// identifier follows C#'s rules for identifiers, which property names obey
// (documented, data model).
func identifier(s string) bool {
	for i, r := range s {
		if r == '_' || unicode.In(r, unicode.L, unicode.Nl) {
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
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}
