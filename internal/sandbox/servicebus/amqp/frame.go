package amqp

import (
	"fmt"
	"io"
)

// Frame types.
const (
	TypeAMQP = 0x00
	TypeSASL = 0x01
)

// MinMaxFrame is the least maximum frame size that a peer may announce.
const MinMaxFrame = 512

// Frame is one frame. An empty body is a keepalive.
type Frame struct {
	Type    byte
	Channel uint16
	Body    []byte
}

// Condition is an AMQP error condition.
type Condition = Symbol

// Conditions of the standard, and of Service Bus (com.microsoft).
const (
	FramingError        Condition = "amqp:connection:framing-error"
	ConnectionForced    Condition = "amqp:connection:forced"
	DecodeError         Condition = "amqp:decode-error"
	InvalidField        Condition = "amqp:invalid-field"
	NotAllowed          Condition = "amqp:not-allowed"
	NotFound            Condition = "amqp:not-found"
	NotImplemented      Condition = "amqp:not-implemented"
	UnauthorizedAccess  Condition = "amqp:unauthorized-access"
	ResourceLimit       Condition = "amqp:resource-limit-exceeded"
	UnattachedHandle    Condition = "amqp:session:unattached-handle"
	HandleInUse         Condition = "amqp:session:handle-in-use"
	DetachForced        Condition = "amqp:link:detach-forced"
	MessageSizeExceeded Condition = "amqp:link:message-size-exceeded"
	MessageLockLost     Condition = "com.microsoft:message-lock-lost"
	MessageNotFound     Condition = "com.microsoft:message-not-found"
	ServerBusy          Condition = "com.microsoft:server-busy"
)

// Error is an error that the peer is told.
type Error struct {
	Condition   Condition
	Description string
}

func (e *Error) Error() string { return string(e.Condition) + ": " + e.Description }

// Errorf makes an Error.
func Errorf(c Condition, format string, args ...any) *Error {
	return &Error{c, fmt.Sprintf(format, args...)}
}

// Value is the error as the peer reads it; nil for none.
func (e *Error) Value() any {
	if e == nil {
		return nil
	}
	return Described{uint64(0x1d), List{e.Condition, e.Description}}
}

// ReadFrame reads one frame of at most limit bytes into memory of its own. A
// malformed or oversized one is an *Error.
func ReadFrame(r io.Reader, limit uint32) (Frame, error) {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Frame{}, err
	}
	size, doff := be.Uint32(h[:]), uint32(h[4])*4
	switch {
	case size < 8 || doff < 8 || doff > size:
		return Frame{}, Errorf(FramingError, "frame of %d bytes with its body at %d", size, doff)
	case size > limit:
		return Frame{}, Errorf(FramingError, "frame of %d bytes, the limit is %d", size, limit)
	case h[5] != TypeAMQP && h[5] != TypeSASL:
		return Frame{}, Errorf(FramingError, "frame of type %d", h[5])
	}
	b := make([]byte, size-8)
	if _, err := io.ReadFull(r, b); err != nil {
		return Frame{}, err
	}
	return Frame{h[5], be.Uint16(h[6:]), b[doff-8:]}, nil
}

// AppendFrame writes a frame with a performative and a payload behind it. The
// performative nil makes a keepalive.
func AppendFrame(b []byte, typ byte, channel uint16, perf Performative, payload []byte) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, 2, typ)
	b = be.AppendUint16(b, channel)
	if perf != nil {
		code, fields := perf.wire()
		for len(fields) > 0 && fields[len(fields)-1] == nil {
			fields = fields[:len(fields)-1]
		}
		b = Section(b, code, fields)
		b = append(b, payload...)
	}
	be.PutUint32(b[at:], uint32(len(b)-at))
	return b
}
