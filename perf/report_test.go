package main

import (
	"strings"
	"testing"
	"time"

	"rollcall/perf/side"
)

func TestMetric(t *testing.T) {
	m := metric{name: "a ÷ b", unit: "×", values: []float64{3, 1, 2, 10}, limit: 2.4, atLeast: true, gated: true}
	if m.median() != 2.5 || !m.ok() || m.verdict() != "met" || m.spread() != "1–10" || m.required() != "≥ 2.40×" {
		t.Errorf("%v %v %s %s %s", m.median(), m.ok(), m.verdict(), m.spread(), m.required())
	}
	m.atLeast = false
	if m.ok() || m.verdict() != "SHORT" {
		t.Error("a ratio above the most is met")
	}
	m.gated = false
	if m.verdict() != "short" {
		t.Error(m.verdict())
	}
}

// A ratio is of the same round's figures.
func TestRatio(t *testing.T) {
	r := func(s ...time.Duration) (out []side.Result) {
		for _, d := range s {
			out = append(out, side.Result{Wall: d * time.Second})
		}
		return out
	}
	got := ratio(wall, r(10, 90), r(1, 3))
	if got[0] != 10 || got[1] != 30 {
		t.Error(got)
	}
}

func TestPage(t *testing.T) {
	r := report{command: "perf P6", began: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), rounds: 5}
	r.add(target{id: "P6", what: "x", gated: true}, []metric{{name: "share", values: []float64{1.2}, limit: 1.08, gated: true}, {name: "told", values: []float64{5}}}, time.Minute)
	p := string(r.page())
	for _, want := range []string{"`perf P6` on 2026-01-02", "| P6 | share | ≤ 1.08 | 1.20 | SHORT |\n", "| told | 5 |  |\n", "cores, go1."} {
		if !strings.Contains(p, want) {
			t.Errorf("no %q in\n%s", want, p)
		}
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose([]string{"p10", "P1"}); err != nil || len(got) != 2 || got[0].id != "P10" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := choose([]string{"P12"}); err == nil {
		t.Error("there is no P12")
	}
	if got, _ := choose(nil); len(got) != 11 {
		t.Errorf("%d targets", len(got))
	}
}
