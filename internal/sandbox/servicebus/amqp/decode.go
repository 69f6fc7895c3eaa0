package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// maxDepth bounds nesting; real traffic stays below 8.
const maxDepth = 32

var errShort = errors.New("amqp: value is cut short")

// Decode reads one value and returns the bytes behind it. Strings are copied,
// binary values alias b.
func Decode(b []byte) (v any, rest []byte, err error) {
	d := decoder{buf: b, budget: len(b) + 64}
	v, err = d.value(0)
	return v, d.buf, err
}

// decoder consumes buf. The budget is the number of values it may still make:
// every value takes a byte, except the elements of arrays such as true or
// null, of which a few bytes could otherwise claim billions.
type decoder struct {
	buf    []byte
	budget int
}

func (d *decoder) take(n uint32) ([]byte, error) {
	if uint64(n) > uint64(len(d.buf)) {
		return nil, errShort
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b, nil
}

func (d *decoder) byte() (byte, error) {
	b, err := d.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (d *decoder) value(depth int) (any, error) {
	code, err := d.byte()
	if err != nil {
		return nil, err
	}
	if code != 0x00 {
		return d.body(code, depth)
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("amqp: values nested deeper than %d", maxDepth)
	}
	desc, err := d.value(depth + 1)
	if err != nil {
		return nil, err
	}
	v, err := d.value(depth + 1)
	return Described{desc, v}, err
}

// body reads the value whose format code has been read already.
func (d *decoder) body(code byte, depth int) (any, error) {
	if d.budget--; d.budget < 0 {
		return nil, errors.New("amqp: more values than bytes")
	}
	switch code >> 4 {
	case 0x4, 0x5, 0x6, 0x7, 0x8, 0x9:
		return d.fixed(code)
	case 0xa, 0xb:
		return d.variable(code)
	case 0xc, 0xd, 0xe, 0xf:
		if depth >= maxDepth {
			return nil, fmt.Errorf("amqp: values nested deeper than %d", maxDepth)
		}
		return d.compound(code, depth)
	}
	return nil, fmt.Errorf("amqp: unknown format code %#02x", code)
}

// fixedWidth is the number of bytes by the upper half of the format code.
// Source: AMQP 1.0, part 1, section 1.2.
var fixedWidth = [...]uint32{0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}

func (d *decoder) fixed(code byte) (any, error) {
	b, err := d.take(fixedWidth[code>>4])
	if err != nil {
		return nil, err
	}
	switch code {
	case 0x40:
		return nil, nil
	case 0x41:
		return true, nil
	case 0x42:
		return false, nil
	case 0x43:
		return uint32(0), nil
	case 0x44:
		return uint64(0), nil
	case 0x45:
		return List{}, nil
	case 0x50:
		return b[0], nil
	case 0x51:
		return int8(b[0]), nil
	case 0x52:
		return uint32(b[0]), nil
	case 0x53:
		return uint64(b[0]), nil
	case 0x54:
		return int32(int8(b[0])), nil
	case 0x55:
		return int64(int8(b[0])), nil
	case 0x56:
		if b[0] > 1 {
			return nil, fmt.Errorf("amqp: boolean of value %d", b[0])
		}
		return b[0] == 1, nil
	case 0x60:
		return binary.BigEndian.Uint16(b), nil
	case 0x61:
		return int16(binary.BigEndian.Uint16(b)), nil
	case 0x70:
		return binary.BigEndian.Uint32(b), nil
	case 0x71:
		return int32(binary.BigEndian.Uint32(b)), nil
	case 0x72:
		return math.Float32frombits(binary.BigEndian.Uint32(b)), nil
	case 0x73:
		return Char(binary.BigEndian.Uint32(b)), nil
	case 0x80:
		return binary.BigEndian.Uint64(b), nil
	case 0x81:
		return int64(binary.BigEndian.Uint64(b)), nil
	case 0x82:
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case 0x83:
		return Timestamp(binary.BigEndian.Uint64(b)), nil
	case 0x74, 0x84, 0x94:
		return Decimal{code, string(b)}, nil
	case 0x98:
		return UUID(b), nil
	}
	return nil, fmt.Errorf("amqp: unknown format code %#02x", code)
}

// length reads a size or count of one byte or, for the wide codes, four.
func (d *decoder) length(wide bool) (uint32, error) {
	if !wide {
		n, err := d.byte()
		return uint32(n), err
	}
	b, err := d.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (d *decoder) variable(code byte) (any, error) {
	n, err := d.length(code >= 0xb0)
	if err != nil {
		return nil, err
	}
	b, err := d.take(n)
	if err != nil {
		return nil, err
	}
	switch code & 0xf {
	case 0x0:
		return b, nil
	case 0x1:
		return string(b), nil
	case 0x3:
		return Symbol(b), nil
	}
	return nil, fmt.Errorf("amqp: unknown format code %#02x", code)
}

func (d *decoder) compound(code byte, depth int) (any, error) {
	wide := code>>4 == 0xd || code>>4 == 0xf
	size, err := d.length(wide)
	if err != nil {
		return nil, err
	}
	content, err := d.take(size)
	if err != nil {
		return nil, err
	}
	// The content is read by itself, so that no element reaches beyond it.
	in := decoder{buf: content, budget: d.budget}
	defer func() { d.budget = in.budget }()
	count, err := in.length(wide)
	if err != nil {
		return nil, err
	}
	var v any
	switch code {
	case 0xc0, 0xd0:
		v, err = in.list(count, depth)
	case 0xc1, 0xd1:
		v, err = in.mapping(count, depth)
	case 0xe0, 0xf0:
		v, err = in.array(count, depth)
	default:
		err = fmt.Errorf("amqp: unknown format code %#02x", code)
	}
	if err == nil && len(in.buf) > 0 {
		err = fmt.Errorf("amqp: %d bytes behind the last of %d elements", len(in.buf), count)
	}
	return v, err
}

func (d *decoder) list(count uint32, depth int) (List, error) {
	l := List{}
	for range count {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, nil
}

func (d *decoder) mapping(count uint32, depth int) (Map, error) {
	if count%2 != 0 {
		return nil, fmt.Errorf("amqp: map of %d elements", count)
	}
	m := Map{}
	for range count / 2 {
		k, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		m = append(m, Entry{k, v})
	}
	return m, nil
}

func (d *decoder) array(count uint32, depth int) (Array, error) {
	a := Array{Items: []any{}}
	code, err := d.byte()
	if err != nil {
		return a, err
	}
	if code == 0x00 {
		if a.Descriptor, err = d.value(depth + 1); err != nil {
			return a, err
		}
		if a.Descriptor == nil {
			return a, errors.New("amqp: array with a null descriptor")
		}
		if code, err = d.byte(); err != nil {
			return a, err
		}
		if code == 0x00 {
			return a, errors.New("amqp: array elements described twice")
		}
	}
	a.Code = code
	for range count {
		v, err := d.body(code, depth+1)
		if err != nil {
			return a, err
		}
		a.Items = append(a.Items, v)
	}
	return a, nil
}
