package tables

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/s2"

	"rollcall/internal/fault"
)

// Every row's column V has the version of its layout: a reader upcasts older
// ones and refuses newer ones.
const (
	plainVersion  = 1
	packedVersion = 2 // the value is compressed: a row of changes
	rowVersion    = packedVersion
)

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
	packed bool // data is a block of S2, at least when it is written
	// gone marks a tombstone, in column T: the row reads as if there were none,
	// not even in a partition beneath.
	gone bool
}

// encode returns the entity as JSON.
func (r row) encode() ([]byte, error) {
	if len(r.data) > maxPacked {
		return nil, r.tooLarge(r.pk)
	}
	b := appendQuoted([]byte(`{"PartitionKey":`), r.pk)
	b = appendQuoted(append(b, `,"RowKey":`...), r.rk)
	return r.appendTail(b), nil
}

func (r row) tooLarge(part string) error {
	return fault.New(fault.Invalid, "row %s/%s: %d bytes, at most %d", part, r.rk, len(r.data), maxPacked)
}

// decodeRow reads an entity as the service sends it. Nothing of b is kept.
func decodeRow(b []byte) (row, error) {
	var (
		r      row
		v      int
		chunks [maxChunks]value
		s      = scan{b: b}
	)
	s.object(func(name []byte) {
		val := s.value()
		switch n, isChunk := chunkOf(name); {
		case isChunk:
			chunks[n] = val
		case string(name) == "PartitionKey":
			r.pk = val.text()
		case string(name) == "RowKey":
			r.rk = val.text()
		case string(name) == "odata.etag":
			r.etag = val.text()
		case string(name) == "V":
			v = number(val.json)
		case string(name) == "T":
			r.gone = string(val.json) == "true"
		}
	})
	err := s.end()
	switch {
	case err != nil:
		return row{}, fault.New(fault.Invalid, "row: %w", err)
	case r.pk == "" || r.rk == "":
		return r, fault.New(fault.Invalid, "row: no keys")
	case v < 1:
		return r, fault.New(fault.Invalid, "row %s/%s: no version", r.pk, r.rk)
	case v > rowVersion:
		return r, newer("row "+r.pk+"/"+r.rk, v, rowVersion)
	}
	size := 0
	for i := range chunks {
		size += base64.StdEncoding.DecodedLen(len(chunks[i].json))
	}
	if size > 0 {
		r.data = make([]byte, 0, size)
	}
	for i := 0; i < len(chunks) && chunks[i].json != nil; i++ {
		if r.data, err = appendBinary(r.data, chunks[i]); err != nil {
			return r, fault.New(fault.Invalid, "row %s/%s: D%d: %w", r.pk, r.rk, i, err)
		}
	}
	if v == packedVersion {
		if r.data, err = expand(r.data); err != nil {
			return r, fault.New(fault.Invalid, "row %s/%s: %w", r.pk, r.rk, err)
		}
	}
	return r, nil
}

// expand returns what was compressed, which is bounded as what is stored is.
func expand(packed []byte) ([]byte, error) {
	n, err := s2.DecodedLen(packed)
	if err != nil {
		return nil, err
	}
	if n > maxPacked {
		return nil, fmt.Errorf("%d bytes when expanded, at most %d", n, maxPacked)
	}
	return s2.Decode(nil, packed)
}

// maxChunks is how many binary properties of 64 KiB an entity of 1 MiB has at most.
const maxChunks = 16

// chunkOf is which part of the value a property holds.
func chunkOf(name []byte) (n int, ok bool) {
	switch {
	case len(name) == 2 && name[0] == 'D' && '0' <= name[1] && name[1] <= '9':
		return int(name[1] - '0'), true
	case len(name) == 3 && name[0] == 'D' && name[1] == '1' && '0' <= name[2] && name[2] < '0'+maxChunks-10:
		return 10 + int(name[2]-'0'), true
	}
	return 0, false
}

// appendBinary appends what a binary property holds.
func appendBinary(b []byte, v value) ([]byte, error) {
	if v.plain {
		return base64.StdEncoding.AppendDecode(b, v.bytes())
	}
	var chunk []byte
	err := json.Unmarshal(v.json, &chunk)
	return append(b, chunk...), err
}

// number reads a version; what is none reads as 0.
func number(b []byte) (n int) {
	if len(b) == 1 && '0' <= b[0] && b[0] <= '9' {
		return int(b[0] - '0')
	}
	_ = json.Unmarshal(b, &n)
	return n
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
