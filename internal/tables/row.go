package tables

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"rollcall/internal/fault"
)

// rowVersion is the layout that this build writes into every row's column V.
// A reader upcasts older ones and refuses newer ones.
const rowVersion = 1

const (
	// maxChunk is the most bytes in one binary property. Table Storage takes
	// 64 KiB; source: "Understanding the Table service data model".
	maxChunk = 60 << 10
	// maxPacked is the most bytes packed into one entity, which may be 1 MiB.
	maxPacked = 900 << 10
)

// row is one table entity: its value, JSON but for rosters, is split over the
// binary properties D0, D1 and so on. Columns are only for what a filter needs.
type row struct {
	pk, rk string
	etag   string
	data   []byte
	cols   map[string]string
	// gone marks a tombstone, in column T: the row reads as if there were none,
	// not even in a partition beneath.
	gone bool
}

// encode returns the entity as JSON.
func (r row) encode() ([]byte, error) {
	if len(r.data) > maxPacked {
		return nil, fault.New(fault.Invalid, "row %s/%s: %d bytes, at most %d", r.pk, r.rk, len(r.data), maxPacked)
	}
	var b bytes.Buffer
	b.Grow(len(r.data)*4/3 + 256)
	b.WriteString(`{"PartitionKey":`)
	quote(&b, r.pk)
	b.WriteString(`,"RowKey":`)
	quote(&b, r.rk)
	b.WriteString(`,"V":` + strconv.Itoa(rowVersion))
	if r.gone {
		b.WriteString(`,"T":true`)
	}
	for name, v := range r.cols {
		fmt.Fprintf(&b, `,"%s":`, name)
		quote(&b, v)
	}
	for i, rest := 0, r.data; len(rest) > 0; i++ {
		n := min(len(rest), maxChunk)
		fmt.Fprintf(&b, `,"D%d@odata.type":"Edm.Binary","D%d":"`, i, i)
		enc := base64.NewEncoder(base64.StdEncoding, &b)
		_, _ = enc.Write(rest[:n]) // to memory: cannot fail
		_ = enc.Close()
		b.WriteByte('"')
		rest = rest[n:]
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func quote(b *bytes.Buffer, s string) {
	q, _ := json.Marshal(s) // a string: cannot fail
	b.Write(q)
}

// decodeRow reads an entity as the service sends it.
func decodeRow(b []byte) (row, error) {
	var props map[string]json.RawMessage
	if err := json.Unmarshal(b, &props); err != nil {
		return row{}, fault.New(fault.Invalid, "row: %w", err)
	}
	var (
		r row
		v int
	)
	text := func(name string) (s string) {
		_ = json.Unmarshal(props[name], &s) // another type reads as empty
		return s
	}
	r.pk, r.rk, r.etag = text("PartitionKey"), text("RowKey"), text("odata.etag")
	if r.pk == "" || r.rk == "" {
		return r, fault.New(fault.Invalid, "row: no keys")
	}
	if err := json.Unmarshal(props["V"], &v); err != nil || v < 1 {
		return r, fault.New(fault.Invalid, "row %s/%s: no version", r.pk, r.rk)
	}
	if v > rowVersion {
		return r, newer("row "+r.pk+"/"+r.rk, v, rowVersion)
	}
	_ = json.Unmarshal(props["T"], &r.gone) // no such column: not gone
	for i := 0; ; i++ {
		raw, ok := props["D"+strconv.Itoa(i)]
		if !ok {
			break
		}
		var chunk []byte
		if err := json.Unmarshal(raw, &chunk); err != nil {
			return r, fault.New(fault.Invalid, "row %s/%s: D%d: %w", r.pk, r.rk, i, err)
		}
		r.data = append(r.data, chunk...)
	}
	return r, nil
}

// newerVersion is the code of the conflict that a reader of a newer row meets.
const newerVersion = "newer_version"

func newer(what string, version, reads int) error {
	return fault.New(fault.Conflict, "%s: version %d, this build reads up to %d", what, version, reads).
		WithCode(newerVersion).
		WithRemedy("A newer Rollcall wrote this row. Finish the upgrade, or roll forward again.")
}

// pack returns v as JSON without escaping markup, which would only grow it.
func pack(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fault.New(fault.Invalid, "pack %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// unpack reads a row's value.
func unpack[T any](r row) (T, error) {
	var v T
	if err := json.Unmarshal(r.data, &v); err != nil {
		return v, fault.New(fault.Invalid, "row %s/%s: %w", r.pk, r.rk, err)
	}
	return v, nil
}
