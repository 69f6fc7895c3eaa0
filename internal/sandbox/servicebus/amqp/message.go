package amqp

import (
	"fmt"
)

// Descriptors of message sections, in their order on the wire.
const (
	HeaderSection      = 0x70
	DeliverySection    = 0x71
	AnnotationsSection = 0x72
	PropertiesSection  = 0x73
	ApplicationSection = 0x74
	DataSection        = 0x75
	SequenceSection    = 0x76
	ValueSection       = 0x77
	FooterSection      = 0x78
)

// Message is a message taken apart. Body holds the body and footer sections as
// raw bytes, untouched.
type Message struct {
	Header      List // durable, priority, ttl, first-acquirer, delivery-count
	Delivery    Map
	Annotations Map
	Properties  List // message-id first; group-id is at 10
	Application Map
	Body        []byte
}

// ParseMessage takes an encoded message apart. Binary values alias b.
func ParseMessage(b []byte) (m Message, err error) {
	last := byte(0)
	for len(b) > 0 {
		v, rest, err := Decode(b)
		if err != nil {
			return m, fmt.Errorf("amqp: message section behind %#02x: %w", last, err)
		}
		code, value := section(v)
		// Only data and sequence sections may repeat.
		repeats := code == last && (code == DataSection || code == SequenceSection)
		if code < HeaderSection || code > FooterSection || (code <= last && !repeats) {
			return m, fmt.Errorf("amqp: message section %#02x behind %#02x", code, last)
		}
		last = code
		ok := true
		switch code {
		case HeaderSection:
			m.Header, ok = value.(List)
		case DeliverySection:
			m.Delivery, ok = value.(Map)
		case AnnotationsSection:
			m.Annotations, ok = value.(Map)
		case PropertiesSection:
			m.Properties, ok = value.(List)
		case ApplicationSection:
			m.Application, ok = value.(Map)
		default:
			if code == DataSection {
				_, ok = value.([]byte)
			}
			m.Body = append(m.Body, b[:len(b)-len(rest)]...)
		}
		if !ok {
			return m, fmt.Errorf("amqp: message section %#02x is a %T", code, value)
		}
		b = rest
	}
	return m, nil
}

// section is the descriptor of a section, 0 if v is none, and its content.
func section(v any) (byte, any) {
	d, _ := v.(Described)
	code, _ := d.Descriptor.(uint64)
	if code > FooterSection {
		code = 0
	}
	return byte(code), d.Value
}

// Append writes the message. Header and properties are always there, because
// clients read the delivery count only if both are.
func (m Message) Append(b []byte) []byte {
	b = Section(b, HeaderSection, m.Header)
	if len(m.Delivery) > 0 {
		b = Section(b, DeliverySection, m.Delivery)
	}
	if len(m.Annotations) > 0 {
		b = Section(b, AnnotationsSection, m.Annotations)
	}
	b = Section(b, PropertiesSection, m.Properties)
	if len(m.Application) > 0 {
		b = Section(b, ApplicationSection, m.Application)
	}
	return append(b, m.Body...)
}

// Data are the contents of the message's data sections.
func (m Message) Data() [][]byte {
	var data [][]byte
	m.sections(func(code byte, v any) {
		if b, ok := v.([]byte); ok && code == DataSection {
			data = append(data, b)
		}
	})
	return data
}

// Value is the content of the message's value section, nil if it has none.
func (m Message) Value() (value any) {
	m.sections(func(code byte, v any) {
		if code == ValueSection {
			value = v
		}
	})
	return value
}

func (m Message) sections(visit func(code byte, v any)) {
	for b := m.Body; len(b) > 0; {
		v, rest, err := Decode(b)
		if err != nil {
			return // a body that was parsed cannot fail here
		}
		visit(section(v))
		b = rest
	}
}

// Field is the i-th header or property field, or nil.
func (l List) Field(i int) any {
	if i >= len(l) {
		return nil
	}
	return l[i]
}

// With is a copy of the list with v at position i.
func (l List) With(i int, v any) List {
	c := append(List(nil), l...)
	for len(c) <= i {
		c = append(c, nil)
	}
	c[i] = v
	return c
}
