package telemetry

import (
	"fmt"
	"math"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// message is a Protocol Buffers message as it grows. The numbers of the fields
// are those of OTLP's trace.proto, metrics.proto, common.proto and
// resource.proto, version 1. OpenTelemetry's exporters build the same from
// generated types, which bring gRPC with them: four megabytes, a seventh of the binary.
type message []byte

// A field that holds its zero value is left out, as Protocol Buffers has it.

func (m *message) bytes(field protowire.Number, b []byte) {
	if len(b) > 0 {
		*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
	}
}

func (m *message) text(field protowire.Number, s string) {
	m.bytes(field, []byte(strings.ToValidUTF8(s, "\uFFFD"))) // a message with other text is refused as a whole
}

func (m *message) number(field protowire.Number, n uint64) {
	if n > 0 {
		*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), n)
	}
}

func (m *message) fixed(field protowire.Number, n uint64) {
	if n > 0 {
		m.kept(field, n)
	}
}

// kept is a fixed number of which zero says something.
func (m *message) kept(field protowire.Number, n uint64) {
	*m = protowire.AppendFixed64(protowire.AppendTag(*m, field, protowire.Fixed64Type), n)
}

// nested is a message within, also an empty one.
func (m *message) nested(field protowire.Number, in message) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), in)
}

// traces is an ExportTraceServiceRequest. All spans are of one resource and one
// scope, ours; they have neither events nor links.
func traces(spans []sdktrace.ReadOnlySpan) []byte {
	var all message
	all.nested(1, scope(spans[0].InstrumentationScope().Name))
	for _, s := range spans {
		all.nested(2, span(s))
	}
	var of, request message
	of.nested(1, about(spans[0].Resource()))
	of.nested(2, all)
	request.nested(1, of)
	return request
}

// flagRemoteKnown and flagRemote say whether a span's parent is in another
// process.
const (
	flagRemoteKnown = 0x100
	flagRemote      = 0x200
)

func span(s sdktrace.ReadOnlySpan) (m message) {
	in, parent := s.SpanContext(), s.Parent()
	id, own := in.TraceID(), in.SpanID()
	m.bytes(1, id[:])
	m.bytes(2, own[:])
	m.text(3, in.TraceState().String())
	if p := parent.SpanID(); p.IsValid() {
		m.bytes(4, p[:])
	}
	m.text(5, s.Name())
	m.number(6, uint64(s.SpanKind())) // OTLP counts them as the SDK does
	m.fixed(7, uint64(s.StartTime().UnixNano()))
	m.fixed(8, uint64(s.EndTime().UnixNano()))
	m.attributes(9, s.Attributes())
	m.number(10, uint64(s.DroppedAttributes()))
	var status message
	status.text(2, s.Status().Description)
	switch s.Status().Code { // which OTLP counts otherwise
	case codes.Ok:
		status.number(3, 1)
	case codes.Error:
		status.number(3, 2)
	}
	m.nested(15, status)
	flags := uint32(in.TraceFlags()) | flagRemoteKnown
	if parent.IsRemote() {
		flags |= flagRemote
	}
	m = protowire.AppendFixed32(protowire.AppendTag(m, 16, protowire.Fixed32Type), flags)
	return m
}

func scope(name string) (m message) {
	m.text(1, name)
	return m
}

func about(r *resource.Resource) (m message) {
	m.attributes(1, r.Attributes())
	return m
}

func (m *message) attributes(field protowire.Number, kvs []attribute.KeyValue) {
	for _, kv := range kvs {
		var pair message
		pair.text(1, string(kv.Key))
		pair.nested(2, value(kv.Value))
		m.nested(field, pair)
	}
}

// value is an AnyValue, of which zero and empty are values too.
func value(v attribute.Value) (m message) {
	switch v.Type() {
	case attribute.BOOL:
		return protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), protowire.EncodeBool(v.AsBool()))
	case attribute.INT64:
		return protowire.AppendVarint(protowire.AppendTag(m, 3, protowire.VarintType), uint64(v.AsInt64()))
	case attribute.FLOAT64:
		m.kept(4, math.Float64bits(v.AsFloat64()))
		return m
	default: // lists too, which we have none of
		m.nested(1, message(strings.ToValidUTF8(v.String(), "\uFFFD")))
		return m
	}
}

// metrics is an ExportMetricsServiceRequest; nil if there is nothing to tell.
func metrics(rm *metricdata.ResourceMetrics) ([]byte, error) {
	var of, request message
	of.nested(1, about(rm.Resource))
	some := false
	for _, sm := range rm.ScopeMetrics {
		var all message
		all.nested(1, scope(sm.Scope.Name))
		for _, m := range sm.Metrics {
			one, err := series(m)
			if err != nil {
				return nil, err
			}
			all.nested(2, one)
			some = true
		}
		of.nested(2, all)
	}
	if !some {
		return nil, nil
	}
	request.nested(1, of)
	return request, nil
}

func series(md metricdata.Metrics) (m message, err error) {
	m.text(1, md.Name)
	m.text(2, md.Description)
	m.text(3, md.Unit)
	switch d := md.Data.(type) {
	case metricdata.Gauge[float64]:
		m.nested(5, points(d.DataPoints, 4, math.Float64bits))
	case metricdata.Sum[int64]:
		sum := points(d.DataPoints, 6, func(n int64) uint64 { return uint64(n) })
		switch d.Temporality {
		case metricdata.DeltaTemporality:
			sum.number(2, 1)
		case metricdata.CumulativeTemporality:
			sum.number(2, 2)
		}
		sum.number(3, protowire.EncodeBool(d.IsMonotonic))
		m.nested(7, sum)
	default:
		return nil, fmt.Errorf("metric %s is a %T, which is not sent", md.Name, d)
	}
	return m, nil
}

// points are those of a gauge or sum, whose values stand in a field by type.
func points[N int64 | float64](all []metricdata.DataPoint[N], field protowire.Number, bits func(N) uint64) (m message) {
	for _, p := range all {
		var one message
		if !p.StartTime.IsZero() {
			one.fixed(2, uint64(p.StartTime.UnixNano()))
		}
		one.fixed(3, uint64(p.Time.UnixNano()))
		one.kept(field, bits(p.Value))
		one.attributes(7, p.Attributes.ToSlice())
		m.nested(1, one)
	}
	return m
}

// rejected reads how much of a request the collector did not take, and why, from
// its answer to a request that it took otherwise.
func rejected(answer []byte) (n int64, why string) {
	var partial []byte
	each(answer, func(field protowire.Number, b []byte, _ uint64) {
		if field == 1 {
			partial = b
		}
	})
	each(partial, func(field protowire.Number, b []byte, v uint64) {
		switch field {
		case 1:
			n = int64(v)
		case 2:
			why = string(b)
		}
	})
	return n, why
}

// each hands on the fields of a message that are bytes or varints, up to the
// first that cannot be read.
func each(b []byte, do func(field protowire.Number, b []byte, v uint64)) {
	for len(b) > 0 {
		field, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			in, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return
			}
			do(field, in, 0)
			b = b[n:]
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return
			}
			do(field, nil, v)
			b = b[n:]
		default:
			n := protowire.ConsumeFieldValue(field, typ, b)
			if n < 0 {
				return
			}
			b = b[n:]
		}
	}
}
