package amqp

// Performative is one of the frame bodies below. Optional fields that have no
// default are pointers.
type Performative interface {
	wire() (descriptor byte, fields List)
}

// Roles of a link's ends.
const (
	RoleSender   = false
	RoleReceiver = true
)

// Settle modes: of the sender settled or mixed (it decides per message), of
// the receiver first or second.
const (
	SendSettled uint8 = 1
	SendMixed   uint8 = 2
)

type (
	// Open negotiates the connection.
	Open struct {
		ContainerID, Hostname string
		MaxFrameSize          uint32
		ChannelMax            uint16
		IdleTimeout           uint32 // milliseconds; 0 = none
	}
	// Begin opens a session.
	Begin struct {
		RemoteChannel                                             *uint16
		NextOutgoingID, IncomingWindow, OutgoingWindow, HandleMax uint32
	}
	// Attach opens a link. Source and Target are kept as read, to be echoed.
	Attach struct {
		Name                   string
		Handle                 uint32
		Role                   bool
		SendSettle, RecvSettle uint8
		Source, Target         any
		InitialDeliveryCount   *uint32
		MaxMessageSize         uint64 // bytes; 0 = no limit
		Properties             Map
	}
	// Flow updates windows and credit.
	Flow struct {
		NextIncomingID                                 *uint32
		IncomingWindow, NextOutgoingID, OutgoingWindow uint32
		Handle, DeliveryCount, LinkCredit              *uint32
		Drain, Echo                                    bool
	}
	// Transfer carries a message or a part of it.
	Transfer struct {
		Handle                 uint32
		DeliveryID             *uint32
		Tag                    []byte
		Format                 *uint32
		Settled, More, Aborted bool
	}
	// Disposition tells the state of the deliveries First to Last.
	Disposition struct {
		Role        bool
		First, Last uint32
		Settled     bool
		State       any
	}
	// Detach closes a link.
	Detach struct {
		Handle uint32
		Closed bool
		Err    *Error
	}
	// End closes a session.
	End struct{ Err *Error }
	// Close closes the connection.
	Close struct{ Err *Error }
	// Mechanisms are what the server offers in SASL.
	Mechanisms struct{ Names []Symbol }
	// Init is the client's choice among them.
	Init struct{ Mechanism Symbol }
	// Outcome ends SASL: 0 is success, 1 a failed authentication.
	Outcome struct{ Code uint8 }
)

// Address is the address of a source or target as Attach carries it, empty if
// it has none.
func Address(terminus any) string {
	return Text(field(terminus, 0))
}

// Filter is the filter set of a source.
func Filter(source any) Map {
	m, _ := field(source, 7).(Map)
	return m
}

// field is the i-th field of a described list, or nil.
func field(v any, i int) any {
	d, _ := v.(Described)
	l, _ := d.Value.(List)
	if i >= len(l) {
		return nil
	}
	return l[i]
}

// opt is *p, or null if there is none.
func opt[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// yes is true, or null for the default false.
func yes(v bool) any {
	if v {
		return true
	}
	return nil
}

func (o Open) wire() (byte, List) {
	var idle any
	if o.IdleTimeout > 0 {
		idle = o.IdleTimeout
	}
	return 0x10, List{o.ContainerID, o.Hostname, o.MaxFrameSize, o.ChannelMax, idle}
}

func (b Begin) wire() (byte, List) {
	return 0x11, List{opt(b.RemoteChannel), b.NextOutgoingID, b.IncomingWindow, b.OutgoingWindow, b.HandleMax}
}

func (a Attach) wire() (byte, List) {
	var size, props any
	if a.MaxMessageSize > 0 {
		size = a.MaxMessageSize
	}
	if len(a.Properties) > 0 {
		props = a.Properties
	}
	return 0x12, List{a.Name, a.Handle, a.Role, a.SendSettle, a.RecvSettle, a.Source, a.Target,
		nil, nil, opt(a.InitialDeliveryCount), size, nil, nil, props}
}

func (f Flow) wire() (byte, List) {
	return 0x13, List{opt(f.NextIncomingID), f.IncomingWindow, f.NextOutgoingID, f.OutgoingWindow,
		opt(f.Handle), opt(f.DeliveryCount), opt(f.LinkCredit), nil, yes(f.Drain), yes(f.Echo)}
}

func (t Transfer) wire() (byte, List) {
	var tag any
	if t.Tag != nil {
		tag = t.Tag
	}
	return 0x14, List{t.Handle, opt(t.DeliveryID), tag, opt(t.Format), yes(t.Settled), yes(t.More),
		nil, nil, nil, yes(t.Aborted)}
}

func (d Disposition) wire() (byte, List) {
	return 0x15, List{d.Role, d.First, d.Last, yes(d.Settled), d.State}
}

func (d Detach) wire() (byte, List)     { return 0x16, List{d.Handle, yes(d.Closed), d.Err.Value()} }
func (e End) wire() (byte, List)        { return 0x17, List{e.Err.Value()} }
func (c Close) wire() (byte, List)      { return 0x18, List{c.Err.Value()} }
func (i Init) wire() (byte, List)       { return 0x41, List{i.Mechanism} }
func (o Outcome) wire() (byte, List)    { return 0x44, List{o.Code} }
func (m Mechanisms) wire() (byte, List) { return 0x40, List{symbols(m.Names)} }

func symbols(names []Symbol) Array {
	a := Array{Code: 0xb3}
	for _, n := range names {
		a.Items = append(a.Items, n)
	}
	return a
}
