package amqp

import "math"

// Parse reads a frame body: a performative and the payload behind it. What a
// server is never sent, such as a SASL outcome, it does not know.
func Parse(body []byte) (Performative, []byte, error) {
	v, payload, err := Decode(body)
	if err != nil {
		return nil, nil, Errorf(DecodeError, "performative: %v", err)
	}
	d, ok := v.(Described)
	code, okCode := d.Descriptor.(uint64)
	list, okList := d.Value.(List)
	if !ok || !okCode || !okList {
		return nil, nil, Errorf(DecodeError, "frame body is no performative")
	}
	f := &fields{list: list}
	p := f.performative(code)
	switch {
	case p == nil:
		return nil, nil, Errorf(NotImplemented, "performative %#02x", code)
	case f.err != nil:
		return nil, nil, f.err
	}
	return p, payload, nil
}

func (f *fields) performative(code uint64) Performative {
	switch code {
	case 0x10:
		return Open{
			ContainerID: need[string](f, 0), Hostname: get(f, 1, ""),
			MaxFrameSize: get[uint32](f, 2, math.MaxUint32), ChannelMax: get[uint16](f, 3, math.MaxUint16),
			IdleTimeout: get[uint32](f, 4, 0),
		}
	case 0x11:
		return Begin{
			RemoteChannel: ptr[uint16](f, 0), NextOutgoingID: need[uint32](f, 1),
			IncomingWindow: need[uint32](f, 2), OutgoingWindow: need[uint32](f, 3),
			HandleMax: get[uint32](f, 4, math.MaxUint32),
		}
	case 0x12:
		return Attach{
			Name: need[string](f, 0), Handle: need[uint32](f, 1), Role: need[bool](f, 2),
			SendSettle: get(f, 3, SendMixed), RecvSettle: get[uint8](f, 4, 0),
			Source: f.at(5), Target: f.at(6), InitialDeliveryCount: ptr[uint32](f, 9),
			MaxMessageSize: get[uint64](f, 10, 0), Properties: get(f, 13, Map(nil)),
		}
	case 0x13:
		return Flow{
			NextIncomingID: ptr[uint32](f, 0), IncomingWindow: need[uint32](f, 1),
			NextOutgoingID: need[uint32](f, 2), OutgoingWindow: need[uint32](f, 3),
			Handle: ptr[uint32](f, 4), DeliveryCount: ptr[uint32](f, 5), LinkCredit: ptr[uint32](f, 6),
			Drain: get(f, 8, false), Echo: get(f, 9, false),
		}
	case 0x14:
		return Transfer{
			Handle: need[uint32](f, 0), DeliveryID: ptr[uint32](f, 1), Tag: get[[]byte](f, 2, nil),
			Format: ptr[uint32](f, 3), Settled: get(f, 4, false), More: get(f, 5, false),
			Aborted: get(f, 9, false),
		}
	case 0x15:
		first := need[uint32](f, 1)
		return Disposition{
			Role: need[bool](f, 0), First: first, Last: get(f, 2, first),
			Settled: get(f, 3, false), State: f.at(4),
		}
	case 0x16:
		return Detach{Handle: need[uint32](f, 0), Closed: get(f, 1, false), Err: f.fault(2)}
	case 0x17:
		return End{f.fault(0)}
	case 0x18:
		return Close{f.fault(0)}
	case 0x41:
		return Init{need[Symbol](f, 0)}
	}
	return nil
}

// fields reads the fields of a performative by position and keeps the first
// fault. Absent fields are null.
type fields struct {
	list List
	err  error
}

func (f *fields) at(i int) any {
	if i >= len(f.list) {
		return nil
	}
	return f.list[i]
}

func (f *fields) fault(i int) *Error {
	v := f.at(i)
	if v == nil {
		return nil
	}
	return &Error{Condition(Text(field(v, 0))), Text(field(v, 1))}
}

func get[T any](f *fields, i int, def T) T {
	v := f.at(i)
	if v == nil {
		return def
	}
	t, ok := v.(T)
	if !ok && f.err == nil {
		f.err = Errorf(DecodeError, "field %d is a %T, not a %T", i, v, def)
	}
	return t
}

func ptr[T any](f *fields, i int) *T {
	if f.at(i) == nil {
		return nil
	}
	var zero T
	v := get(f, i, zero)
	return &v
}

func need[T any](f *fields, i int) T {
	var zero T
	if f.at(i) == nil && f.err == nil {
		f.err = Errorf(InvalidField, "mandatory field %d is missing", i)
	}
	return get(f, i, zero)
}
