package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// previewSuffix makes the ID of the partition that a connection's previews
// are written to.
const previewSuffix = "~preview"

// Limits of samples: so many of each type of change, taken from so many
// changes at each end. A preview of a large tenant has hundreds of thousands;
// what comes and changes is at their beginning, what goes at their end.
const (
	maxSamples = 5
	maxSampled = 1000
)

// Sample is one change that a preview has found.
type Sample struct {
	Type   string  `json:"type" doc:"As in the changes." example:"person.updated"`
	ID     string  `json:"id,omitempty" doc:"To whom or what it would happen." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	Reason string  `json:"reason,omitempty" enum:"softDeleted,deleted,missing,outOfScope" doc:"Why it would be archived."`
	Fields []Field `json:"fields" nullable:"false" doc:"What would change, by name."`
	Joined int     `json:"joined,omitempty" doc:"How many members the team would gain." example:"3"`
	Left   int     `json:"left,omitempty" doc:"How many members the team would lose." example:"1"`
}

// Field is a property before and after a change; null for no value.
type Field struct {
	Name   string `json:"name" example:"jobTitle"`
	Before any    `json:"before" doc:"The value now; null for none." example:"\"Captain\""`
	After  any    `json:"after" doc:"The value afterwards; null for none." example:"\"Rear Admiral\""`
}

// samples takes the first few changes of each type out of the first and the
// last that the preview has written; none if they are dropped, or a later
// preview has taken its place.
func (a *API) samples(ctx context.Context, id string, r *job.Run) (out []Sample, err error) {
	part := id + previewSuffix
	f, err := a.Plans.Fence(ctx, part)
	if err != nil || f.Run.ID != r.ID {
		return nil, err
	}
	seen := map[directory.Type]int{}
	scan := func(after, through int64) error {
		for after < through {
			page, err := a.Directory.Changes(ctx, part, after, int(min(through-after, chunk)))
			if err != nil || len(page) == 0 {
				return err
			}
			for i := range page {
				c := &page[i]
				if c.Run == r.ID && c.Number <= through && seen[c.Type] < maxSamples {
					seen[c.Type]++
					out = append(out, shapeSample(c))
				}
			}
			after = page[len(page)-1].Number
		}
		return nil
	}
	head := min(r.FirstChange+maxSampled, f.LastChange) // the preview's numbers follow on the live ones
	if err := scan(r.FirstChange, head); err != nil {
		return nil, err
	}
	return out, scan(max(head, f.LastChange-maxSampled), f.LastChange)
}

func shapeSample(c *directory.Change) Sample {
	set, was := c.Set.All(), c.Was.All()
	v := Sample{
		Type: string(c.Type), ID: c.ID, Reason: string(c.Reason), Fields: make([]Field, 0, len(set)),
		Joined: len(c.Joined), Left: len(c.Left),
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		v.Fields = append(v.Fields, Field{Name: name, Before: raw(was[name]), After: raw(set[name])})
	}
	return v
}

// raw is stored JSON as it is answered, null if there is none.
func raw(m json.RawMessage) any {
	if len(m) == 0 {
		return nil
	}
	return m
}
