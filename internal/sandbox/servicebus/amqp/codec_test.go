package amqp

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

// wire are values with their bytes, written down from the tables of AMQP 1.0,
// part 1, section 1.6. The first form of each value is the one that Append
// chooses.
var wire = []struct {
	v     any
	forms []string
}{
	{nil, []string{"40"}},
	{true, []string{"41", "56 01"}},
	{false, []string{"42", "56 00"}},
	{uint8(200), []string{"50 c8"}},
	{uint16(0x1234), []string{"60 1234"}},
	{uint32(0), []string{"43", "52 00", "70 00000000"}},
	{uint32(255), []string{"52 ff", "70 000000ff"}},
	{uint32(256), []string{"70 00000100"}},
	{uint64(0), []string{"44", "53 00", "80 0000000000000000"}},
	{uint64(0x24), []string{"53 24"}},
	{uint64(1 << 40), []string{"80 0000010000000000"}},
	{int8(-1), []string{"51 ff"}},
	{int16(-2), []string{"61 fffe"}},
	{int32(-3), []string{"54 fd", "71 fffffffd"}},
	{int32(200), []string{"71 000000c8"}},
	{int64(-4), []string{"55 fc", "81 fffffffffffffffc"}},
	{int64(1 << 33), []string{"81 0000000200000000"}},
	{float32(1), []string{"72 3f800000"}},
	{float64(-2), []string{"82 c000000000000000"}},
	{Char('é'), []string{"73 000000e9"}},
	{Timestamp(1000), []string{"83 00000000000003e8"}},
	{Decimal{0x74, "abcd"}, []string{"74 61626364"}},
	{UUID{0: 1, 15: 2}, []string{"98 01000000000000000000000000000002"}},
	{[]byte("hi"), []string{"a0 02 6869", "b0 00000002 6869"}},
	{"hi", []string{"a1 02 6869", "b1 00000002 6869"}},
	{Symbol("hi"), []string{"a3 02 6869", "b3 00000002 6869"}},
	{List{}, []string{"45", "c0 01 00", "d0 00000004 00000000"}},
	{List{true, "a"}, []string{"d0 00000008 00000002 41 a10161", "c0 05 02 41 a10161"}},
	{Map{{"a", int64(1)}}, []string{"d1 00000009 00000002 a10161 5501", "c1 06 02 a10161 5501"}},
	{Array{Code: 0x81, Items: []any{int64(1), int64(2)}},
		[]string{"f0 00000015 00000002 81 0000000000000001 0000000000000002", "e0 12 02 81 0000000000000001 0000000000000002"}},
	{Array{Code: 0xb3, Items: []any{Symbol("a")}}, []string{"f0 0000000a 00000001 b3 00000001 61"}},
	{Array{Code: 0x83, Items: []any{}}, []string{"f0 00000005 00000000 83"}},
	{Array{Descriptor: uint64(1), Code: 0x50, Items: []any{uint8(7)}}, []string{"f0 00000009 00000001 00 5301 50 07"}},
	{Described{uint64(0x24), List{}}, []string{"00 5324 45"}},
	{Described{Symbol("x:y"), "v"}, []string{"00 a303783a79 a10176"}},
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValues(t *testing.T) {
	for _, c := range wire {
		if got, want := Append(nil, c.v), unhex(t, c.forms[0]); !bytes.Equal(got, want) {
			t.Errorf("%T %v is written % x, want % x", c.v, c.v, got, want)
		}
		for _, form := range c.forms {
			b := unhex(t, form)
			got, rest, err := Decode(append(b, 0xaa))
			if err != nil || !reflect.DeepEqual(got, c.v) || len(rest) != 1 {
				t.Errorf("%s is read as %T %v, %v, want %v", form, got, got, err, c.v)
			}
			for n := range b { // a value that is cut anywhere is an error
				if _, _, err := Decode(b[:n]); err == nil {
					t.Errorf("%s is read from %d bytes", form, n)
				}
			}
		}
	}
}

func TestLongValues(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, v := range []any{long, Symbol(long), []byte(long), List{long}} {
		got, rest, err := Decode(Append(nil, v))
		if err != nil || len(rest) > 0 || !reflect.DeepEqual(got, v) {
			t.Errorf("%T of 256 bytes comes back as %v, %v", v, got, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                 "",
		"unknown code":            "3f",
		"unknown fixed code":      "5f",
		"unknown variable code":   "a2 00",
		"unknown compound code":   "c2 01 00",
		"boolean 2":               "56 02",
		"odd map":                 "c1 02 01 40",
		"bytes behind the list":   "c0 02 00 40",
		"list longer than said":   "c0 02 02 40",
		"list beyond its frame":   "d0 7fffffff 00000001 40",
		"string beyond its list":  "c0 03 01 a1 05 6161616161",
		"billions of nothing":     "f0 00000005 7fffffff 40",
		"array described twice":   "f0 00000009 00000001 00 5301 00 5301",
		"array without a code":    "f0 00000004 00000001",
		"array with a null label": "f0 00000007 00000001 00 40 40",
		"nested too deep":         strings.Repeat("00", 40) + "40",
	} {
		if v, _, err := Decode(unhex(t, s)); err == nil {
			t.Errorf("%s is read as %v", name, v)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	var v any = List{}
	for range maxDepth + 1 {
		v = List{v}
	}
	if _, _, err := Decode(Append(nil, v)); err == nil {
		t.Error("33 lists in each other are read")
	}
}

func TestSwapped(t *testing.T) {
	u := UUID(unhex(t, "00112233445566778899aabbccddeeff"))
	if got, want := u.Swapped(), UUID(unhex(t, "33221100554477668899aabbccddeeff")); got != want {
		t.Errorf("swapped is %v, want %v", got, want)
	}
	if u.Swapped().Swapped() != u || u.String() != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Errorf("UUID is %v", u)
	}
}

func TestFrames(t *testing.T) {
	id := uint32(3)
	b := AppendFrame(nil, TypeAMQP, 7, Transfer{Handle: 1, DeliveryID: &id, Tag: []byte("t"), More: true}, []byte("payload"))
	want := unhex(t, "00000025 02 00 0007 00 5314 d0 0000000e 00000006 5201 5203 a00174 40 40 41 7061796c6f6164")
	if !bytes.Equal(b, want) {
		t.Fatalf("frame is\n% x, want\n% x", b, want)
	}
	f, err := ReadFrame(bytes.NewReader(b), 64)
	if err != nil || f.Type != TypeAMQP || f.Channel != 7 {
		t.Fatalf("frame is %+v, %v", f, err)
	}
	p, payload, err := Parse(f.Body)
	if err != nil || string(payload) != "payload" {
		t.Fatalf("payload is %q, %v", payload, err)
	}
	if tr := p.(Transfer); tr.Handle != 1 || *tr.DeliveryID != 3 || string(tr.Tag) != "t" || !tr.More || tr.Settled {
		t.Errorf("transfer is %+v", tr)
	}
	for n := range b {
		if _, err := ReadFrame(bytes.NewReader(b[:n]), 64); err == nil {
			t.Errorf("a frame is read from %d bytes of %d", n, len(b))
		}
	}
	if _, err := ReadFrame(bytes.NewReader(b), uint32(len(b)-1)); err == nil {
		t.Error("a frame above the limit is read")
	}
}

func TestPerformatives(t *testing.T) {
	u := func(v uint32) *uint32 { return &v }
	ch := uint16(4)
	for _, p := range []Performative{
		Open{ContainerID: "c", Hostname: "h", MaxFrameSize: 512, ChannelMax: 9, IdleTimeout: 1000},
		Begin{RemoteChannel: &ch, NextOutgoingID: 1, IncomingWindow: 2, OutgoingWindow: 3, HandleMax: 4},
		Attach{Name: "n", Handle: 1, Role: true, SendSettle: 1, RecvSettle: 1,
			Source:               Described{uint64(0x28), List{"queue", nil, nil, nil, nil, nil, nil, Map{{Symbol("f"), "v"}}}},
			InitialDeliveryCount: u(0), MaxMessageSize: 99, Properties: Map{{Symbol("k"), "v"}}},
		Flow{NextIncomingID: u(0), IncomingWindow: 1, NextOutgoingID: 2, OutgoingWindow: 3, Handle: u(0), DeliveryCount: u(5), LinkCredit: u(6), Drain: true, Echo: true},
		Transfer{Handle: 1, DeliveryID: u(2), Tag: []byte("t"), Format: u(0), Settled: true, More: true, Aborted: true},
		Disposition{Role: true, First: 1, Last: 2, Settled: true, State: Described{uint64(0x24), List{}}},
		Detach{Handle: 1, Closed: true, Err: &Error{NotFound, "gone"}},
		End{&Error{NotAllowed, "no"}}, Close{},
	} {
		f, err := ReadFrame(bytes.NewReader(AppendFrame(nil, TypeAMQP, 0, p, nil)), 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Parse(f.Body)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%T comes back as\n%+v, %v, want\n%+v", p, got, err, p)
		}
	}
	a := Attach{Source: Described{uint64(0x28), List{"queue", nil, nil, nil, nil, nil, nil, Map{{Symbol("f"), "v"}}}}}
	if Address(a.Source) != "queue" || Address(nil) != "" || Filter(a.Source).Get("f") != "v" || Filter("x") != nil {
		t.Error("the source is misread")
	}
}

// The defaults of absent fields are those of the standard.
func TestDefaults(t *testing.T) {
	for body, want := range map[string]Performative{
		"00 5310 c0 04 01 a10161":       Open{ContainerID: "a", MaxFrameSize: math.MaxUint32, ChannelMax: math.MaxUint16},
		"00 5312 c0 06 03 a10161 43 42": Attach{Name: "a", SendSettle: SendMixed},
		"00 5315 c0 05 02 41 5207 ":     Disposition{Role: true, First: 7, Last: 7},
	} {
		b := unhex(t, body)
		b[4] = byte(len(b) - 5)
		if got, _, err := Parse(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v, want %+v", body, got, err, want)
		}
	}
	for _, body := range []string{
		"41", "00 a10161 45", "00 5310 40", "00 5310 45", "00 5310 c0 03 01 5201", "00 5399 45",
	} {
		if p, _, err := Parse(unhex(t, body)); err == nil {
			t.Errorf("%s is %+v", body, p)
		}
	}
}

func TestMessage(t *testing.T) {
	m := Message{
		Header:      List{true, uint8(4), uint32(1000), nil, uint32(2)},
		Annotations: Map{{Symbol("x-opt"), int64(1)}},
		Properties:  List{"id"},
		Application: Map{{"k", "v"}},
		Body:        Section(Section(nil, DataSection, []byte("a")), DataSection, []byte("b")),
	}
	got, err := ParseMessage(m.Append(nil))
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("message comes back as\n%+v, %v, want\n%+v", got, err, m)
	}
	if d := got.Data(); len(d) != 2 || string(d[0]) != "a" || string(d[1]) != "b" || got.Value() != nil {
		t.Errorf("data is %q", d)
	}
	v := Message{Body: Section(nil, ValueSection, "v")}
	if v.Value() != "v" || v.Data() != nil {
		t.Errorf("value is %v", v.Value())
	}
	l := List{"a"}
	if w := l.With(2, "c"); !reflect.DeepEqual(w, List{"a", nil, "c"}) || len(l) != 1 || l.Field(1) != nil {
		t.Errorf("with gives %v of %v", w, l)
	}
}

// What is read and written is read the same again.
func FuzzDecode(f *testing.F) {
	for _, c := range wire {
		for _, form := range c.forms {
			f.Add(unhex(f, form))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _, err := Decode(b)
		if err != nil {
			return
		}
		once := Append(nil, v)
		again, rest, err := Decode(once)
		if err != nil || len(rest) > 0 {
			t.Fatalf("% x is read, but not % x: %v", b, once, err)
		}
		if twice := Append(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("% x is written % x, then % x", b, once, twice)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(AppendFrame(nil, TypeAMQP, 0, Open{ContainerID: "c", MaxFrameSize: 512}, nil))
	f.Add(AppendFrame(nil, TypeAMQP, 0, Transfer{Tag: []byte("t")}, []byte("payload")))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 10
		for r := bytes.NewReader(b); ; {
			fr, err := ReadFrame(r, limit)
			if err != nil {
				return
			}
			if len(fr.Body) > limit {
				t.Fatalf("a frame of %d bytes is above the limit", len(fr.Body))
			}
			if p, payload, err := Parse(fr.Body); err == nil {
				AppendFrame(nil, fr.Type, fr.Channel, p, payload)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add(Message{Properties: List{"id"}, Body: Section(nil, DataSection, []byte("x"))}.Append(nil))
	f.Add(Message{Annotations: Map{{Symbol("a"), nil}}, Body: Section(nil, ValueSection, List{1.5})}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		once := m.Append(nil)
		again, err := ParseMessage(once)
		if err != nil || !bytes.Equal(again.Append(nil), once) || !bytes.Equal(again.Body, m.Body) {
			t.Fatalf("% x comes back as % x: %v", once, again.Append(nil), err)
		}
		m.Data()
		m.Value()
	})
}
