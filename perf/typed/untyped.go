package main

import (
	"github.com/microsoft/kiota-abstractions-go/serialization"
)

// untyped reads a list of objects of texts, as the SDK leaves what it has no
// model for.
func untyped(v any) (out []map[string]string) {
	list, ok := v.([]any)
	if node, is := v.(serialization.UntypedNodeable); is {
		return ofNode(node)
	}
	if !ok {
		return nil
	}
	for _, e := range list {
		switch o := e.(type) {
		case map[string]any:
			m := make(map[string]string, len(o))
			for k, v := range o {
				switch s := v.(type) {
				case string:
					m[k] = s
				case *string:
					m[k] = text(s)
				}
			}
			out = append(out, m)
		case serialization.UntypedNodeable:
			out = append(out, ofNode(o)...)
		}
	}
	return out
}

func ofNode(n serialization.UntypedNodeable) (out []map[string]string) {
	switch n := n.(type) {
	case *serialization.UntypedArray:
		for _, e := range n.GetValue() {
			out = append(out, ofNode(e)...)
		}
	case *serialization.UntypedObject:
		m := make(map[string]string)
		for k, v := range n.GetValue() {
			if s, ok := v.(*serialization.UntypedString); ok {
				m[k] = text(s.GetValue())
			}
		}
		out = append(out, m)
	}
	return out
}
