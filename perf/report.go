package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"rollcall/perf/side"
)

// metric is one figure of a target, once a round.
type metric struct {
	name, unit string
	values     []float64
	// limit is what the median is to reach, at least or at most; 0 means that
	// the figure is only told.
	limit   float64
	atLeast bool
	gated   bool
}

func (m *metric) median() float64 {
	s := slices.Sorted(slices.Values(m.values))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

func (m *metric) ok() bool {
	if m.limit == 0 {
		return true
	}
	if m.atLeast {
		return m.median() >= m.limit
	}
	return m.median() <= m.limit
}

func (m *metric) required() string {
	sign := "≤"
	if m.atLeast {
		sign = "≥"
	}
	if m.limit == 0 {
		return ""
	}
	return sign + " " + figure(m.limit) + m.unit
}

func (m *metric) verdict() string {
	switch {
	case m.limit == 0:
		return ""
	case m.ok():
		return "met"
	case m.gated:
		return "SHORT"
	default:
		return "short"
	}
}

func (m *metric) spread() string {
	if len(m.values) < 2 {
		return ""
	}
	return figure(slices.Min(m.values)) + "–" + figure(slices.Max(m.values))
}

func (m *metric) line() string {
	s := fmt.Sprintf("%-58s %12s", m.name, figure(m.median())+m.unit)
	if sp := m.spread(); sp != "" {
		s += " (" + sp + ")"
	}
	if m.limit != 0 {
		s += fmt.Sprintf("  required %s: %s", m.required(), m.verdict())
	}
	return s
}

// figure has about three digits.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)):
		return fmt.Sprintf("%d", int64(v))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// ratio is of two sides' figures, round by round.
func ratio(of func(side.Result) float64, a, b []side.Result) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = of(a[i]) / of(b[i])
	}
	return out
}

// each is one side's figures.
func each(of func(side.Result) float64, rs []side.Result) []float64 {
	out := make([]float64, len(rs))
	for i := range rs {
		out[i] = of(rs[i])
	}
	return out
}

func wall(r side.Result) float64    { return r.Wall.Seconds() }
func millis(r side.Result) float64  { return 1000 * r.Wall.Seconds() }
func perUnit(r side.Result) float64 { return r.PerUnit() }

// report is all that was measured, for a page.
type report struct {
	command string
	began   time.Time
	rounds  int
	body    bytes.Buffer
	table   bytes.Buffer
}

func (r *report) add(t target, found []metric, took time.Duration) {
	for i := range found {
		if m := &found[i]; m.limit != 0 {
			fmt.Fprintf(&r.table, "| %s | %s | %s | %s | %s |\n", t.id, m.name, m.required(), figure(m.median())+m.unit, m.verdict())
		}
	}
	gate := ""
	if t.gated {
		gate = " Must be met."
	}
	fmt.Fprintf(&r.body, "\n## %s: %s\n\nTook %s.%s\n\n| figure | median | least–most |\n|---|---|---|\n", t.id, t.what, took.Round(time.Second), gate)
	for i := range found {
		m := &found[i]
		fmt.Fprintf(&r.body, "| %s | %s | %s |\n", m.name, figure(m.median())+m.unit, m.spread())
	}
}

// text adds a block of plain text.
func (r *report) text(title, s string) {
	fmt.Fprintf(&r.body, "\n%s:\n\n```\n%s```\n", title, s)
}

// page is the report in Markdown.
func (r *report) page() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Performance\n\nWritten by `%s` on %s: %s, %d cores, %s, Linux %s. %d rounds.\n\n",
		strings.TrimSpace(r.command), r.began.UTC().Format("2006-01-02"), processorModel(), runtime.NumCPU(), runtime.Version(), kernel(), r.rounds)
	b.WriteString(method)
	b.WriteString("\n| | figure | required | measured | |\n|---|---|---|---|---|\n")
	b.Write(r.table.Bytes())
	b.Write(r.body.Bytes())
	return b.Bytes()
}

// method is how the figures came about.
const method = `Each side runs in a process of its own, and so does each server; processor time is the side's own (getrusage). The sides take turns, and a ratio is the median of
the ratios of single rounds. Before anything is timed, both sides' output is compared with what it should be. Where latency is told, the server adds it; everything
else is loopback, which says nothing about Azure's latencies. The sides reach the servers by the same transport; Graph's pages come compressed and, but for P9, without TLS.
`

func processorModel() string { return field("/proc/cpuinfo", "model name") }

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// field is the value of the first line "name : value" of a file.
func field(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}
