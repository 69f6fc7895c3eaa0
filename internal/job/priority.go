package job

import "context"

// Priority says what has to wait where requests to Graph are too many. The
// zero value is Normal.
type Priority int

// The priorities.
const (
	// Normal is what nobody said anything about, and first runs.
	Normal Priority = iota
	// Low is what the clock began: nobody waits for it.
	Low
	// High is what somebody asked for, and waits for.
	High
)

// Priority is that of a run's requests. A run that makes up for a sync by hand
// is as urgent as that.
func (t Trigger) Priority() Priority {
	switch {
	case t == Schedule:
		return Low
	case t == Manual, t == Again, t == Preview, t.Asked():
		return High
	default:
		return Normal
	}
}

// Terms are what requests to Graph are made under.
type Terms struct {
	Priority Priority
	// People is how many the tenant has at least; 0 if nobody knows.
	People int
}

type termsKey struct{}

// Under returns a context whose calls to Graph are made under t.
func Under(ctx context.Context, t Terms) context.Context {
	return context.WithValue(ctx, termsKey{}, t)
}

// TermsOf are the context's; without any, the zero value.
func TermsOf(ctx context.Context) Terms {
	t, _ := ctx.Value(termsKey{}).(Terms)
	return t
}
