// Package amqp reads and writes the AMQP 1.0 wire: values, frames,
// performatives and message sections. Bytes from the network can make it
// return an error, never panic, nor allocate more than a small multiple of
// what was received.
package amqp

import (
	"encoding/hex"
	"fmt"
)

// A value is one of: nil, bool, uint8, uint16, uint32, uint64, int8, int16,
// int32, int64, float32, float64, Char, Decimal, Timestamp, UUID, []byte,
// string, Symbol, List, Map, Array or Described.
type (
	// Symbol is a value from a constrained domain, ASCII by the standard.
	Symbol string
	// Timestamp is milliseconds since the Unix epoch.
	Timestamp int64
	// UUID is in RFC 4122 byte order.
	UUID [16]byte
	// Char is one Unicode character, unchecked.
	Char uint32
	// List is a sequence of values of any types.
	List []any
	// Map keeps the order of its entries, so that what was read is written
	// back the same.
	Map []Entry
)

// Decimal is a decimal32, decimal64 or decimal128, carried but not understood.
type Decimal struct {
	Code byte   // 0x74, 0x84 or 0x94
	Bits string // 4, 8 or 16 bytes
}

// Entry is one pair of a Map.
type Entry struct{ Key, Value any }

// Array is a sequence of values that share one constructor.
type Array struct {
	Descriptor any  // nil if the elements are not described
	Code       byte // the elements' format code
	Items      []any
}

// Described is a value with a descriptor: a performative, a delivery state, a
// message section.
type Described struct{ Descriptor, Value any }

// String is the UUID in its usual form.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

// Swapped is the UUID with the byte order of a .NET Guid, and back. Service Bus
// puts lock tokens into delivery tags that way.
func (u UUID) Swapped() UUID {
	u[0], u[1], u[2], u[3] = u[3], u[2], u[1], u[0]
	u[4], u[5] = u[5], u[4]
	u[6], u[7] = u[7], u[6]
	return u
}

// Get is the value of the entry whose key is the string or symbol key, or nil.
func (m Map) Get(key string) any {
	for _, e := range m {
		if Text(e.Key) == key {
			return e.Value
		}
	}
	return nil
}

// Set replaces the value of key's entry, or appends one with the key as given.
func (m Map) Set(key, value any) Map {
	for i, e := range m {
		if Text(e.Key) == Text(key) && Text(key) != "" {
			m[i].Value = value
			return m
		}
	}
	return append(m, Entry{key, value})
}

// Text is v as a string if it is a string or a symbol, else empty.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Symbol:
		return string(v)
	}
	return ""
}

// Items are the elements of a list or an array, else nil.
func Items(v any) []any {
	switch v := v.(type) {
	case List:
		return v
	case Array:
		return v.Items
	}
	return nil
}
