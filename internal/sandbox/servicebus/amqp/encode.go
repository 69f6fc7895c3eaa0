package amqp

import (
	"encoding/binary"
	"math"
)

var be = binary.BigEndian

// Append writes v in its shortest common form. A Go type that is no AMQP value
// is written as null.
func Append(b []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, 0x41)
		}
		return append(b, 0x42)
	case uint32:
		switch {
		case v == 0:
			return append(b, 0x43)
		case v <= math.MaxUint8:
			return append(b, 0x52, byte(v))
		}
	case uint64:
		switch {
		case v == 0:
			return append(b, 0x44)
		case v <= math.MaxUint8:
			return append(b, 0x53, byte(v))
		}
	case int32:
		if v == int32(int8(v)) {
			return append(b, 0x54, byte(v))
		}
	case int64:
		if v == int64(int8(v)) {
			return append(b, 0x55, byte(v))
		}
	case []byte:
		if len(v) <= math.MaxUint8 {
			return append(append(b, 0xa0, byte(len(v))), v...)
		}
	case string:
		if len(v) <= math.MaxUint8 {
			return append(append(b, 0xa1, byte(len(v))), v...)
		}
	case Symbol:
		if len(v) <= math.MaxUint8 {
			return append(append(b, 0xa3, byte(len(v))), v...)
		}
	case List:
		if len(v) == 0 {
			return append(b, 0x45)
		}
	case Described:
		return Append(Append(append(b, 0x00), v.Descriptor), v.Value)
	}
	code := wideCode(v)
	return appendBody(append(b, code), code, v)
}

// wideCode is the format code under which every value of v's type can be
// written, as arrays need it.
func wideCode(v any) byte {
	switch v := v.(type) {
	case bool:
		return 0x56
	case uint8:
		return 0x50
	case uint16:
		return 0x60
	case uint32:
		return 0x70
	case uint64:
		return 0x80
	case int8:
		return 0x51
	case int16:
		return 0x61
	case int32:
		return 0x71
	case int64:
		return 0x81
	case float32:
		return 0x72
	case float64:
		return 0x82
	case Char:
		return 0x73
	case Timestamp:
		return 0x83
	case Decimal:
		return v.Code
	case UUID:
		return 0x98
	case []byte:
		return 0xb0
	case string:
		return 0xb1
	case Symbol:
		return 0xb3
	case List:
		return 0xd0
	case Map:
		return 0xd1
	case Array:
		return 0xf0
	}
	return 0x40
}

// appendBody writes v without its constructor, which was code = wideCode(v).
func appendBody(b []byte, code byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case uint8:
		return append(b, v)
	case int8:
		return append(b, byte(v))
	case uint16:
		return be.AppendUint16(b, v)
	case int16:
		return be.AppendUint16(b, uint16(v))
	case uint32:
		return be.AppendUint32(b, v)
	case int32:
		return be.AppendUint32(b, uint32(v))
	case Char:
		return be.AppendUint32(b, uint32(v))
	case float32:
		return be.AppendUint32(b, math.Float32bits(v))
	case uint64:
		return be.AppendUint64(b, v)
	case int64:
		return be.AppendUint64(b, uint64(v))
	case Timestamp:
		return be.AppendUint64(b, uint64(v))
	case float64:
		return be.AppendUint64(b, math.Float64bits(v))
	case Decimal:
		return append(b, v.Bits...)
	case UUID:
		return append(b, v[:]...)
	case []byte:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case string:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case Symbol:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	}
	return appendCompound(b, v)
}

func appendCompound(b []byte, v any) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0) // the size, known at the end
	switch v := v.(type) {
	case List:
		b = be.AppendUint32(b, uint32(len(v)))
		for _, e := range v {
			b = Append(b, e)
		}
	case Map:
		b = be.AppendUint32(b, uint32(2*len(v)))
		for _, e := range v {
			b = Append(Append(b, e.Key), e.Value)
		}
	case Array:
		b = be.AppendUint32(b, uint32(len(v.Items)))
		if v.Descriptor != nil {
			b = Append(append(b, 0x00), v.Descriptor)
		}
		code := v.Code
		if len(v.Items) > 0 {
			code = wideCode(v.Items[0])
		}
		b = append(b, code)
		for _, e := range v.Items {
			if code != 0x40 {
				b = appendBody(b, code, e)
			}
		}
	default: // null has no body
		return b[:at]
	}
	be.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// Section writes a described value whose descriptor is a small number.
func Section(b []byte, descriptor byte, v any) []byte {
	return Append(append(b, 0x00, 0x53, descriptor), v)
}
