package job

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Messages of every kind and trigger, as version 1 has them on the wire. The
// file is never edited: a build that writes version 2 reads it as well.
func TestMessagesOfReleases(t *testing.T) {
	const c, r, person = "k7vq2x5n3jd4mzs6ab2chtwyeu", "04f8f6b1c2d-9f2c4e71ab03", "8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"
	for version, want := range map[int][]Job{1: {
		{Kind: "sync", Connection: c, Run: r, Trigger: "first"},
		{Kind: "sync", Connection: c, Run: r, Trigger: "schedule"},
		{Kind: "sync", Connection: c, Run: r, Trigger: "manual", Try: 2},
		{Kind: "sync", Connection: c, Run: r, Trigger: "again"},
		{Kind: "sync", Connection: c, Run: r, Trigger: "preview"},
		{Kind: "sync", Connection: c, Run: r, Trigger: "approve", Plan: "6f1c"},
		{Kind: "sync", Connection: c, Run: r, Trigger: "reject", Plan: "6f1c"},
		{Kind: "sync", Connection: c, Run: r, Trigger: "person", Person: person},
		{Kind: "sync", Connection: c, Run: r, Trigger: "erase", Person: person},
		{Kind: "sync", Connection: c, Run: r, Slice: 7, Trigger: "schedule"},
		{Kind: "sync", Connection: c, Run: r, Slice: 8},
		{Kind: "verify", Connection: c, Run: "consent-1", Slice: 3},
		{Kind: "offboard", Connection: c, Run: "end-1", Slice: 2, Try: 1},
	}} {
		if version < Version-1 {
			continue // two releases back
		}
		b, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("messages-v%d.jsonl", version)))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		if len(lines) != len(want) {
			t.Fatalf("version %d: %d messages, want %d", version, len(lines), len(want))
		}
		for i, line := range lines {
			want[i].Version = version
			got, err := Decode(line)
			if err != nil || got != want[i] {
				t.Errorf("version %d: %s is %+v, want %+v (%v)", version, line, got, want[i], err)
			}
			// What this build writes of its own version is in the file.
			if version == Version && !bytes.Equal(got.Encode(), line) {
				t.Errorf("writes %s, as released %s", got.Encode(), line)
			}
		}
	}
	// The next build is held to what this one writes.
	if _, err := os.Stat(filepath.Join("testdata", fmt.Sprintf("messages-v%d.jsonl", Version))); err != nil {
		t.Errorf("version %d has no file of its own: add one, and keep those before (%v)", Version, err)
	}
}
