package api

import (
	"context"
	"fmt"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

func (f *fake) PauseWithAll(_ context.Context, id, actor string) (connection.Connection, error) {
	return f.govern("pause with all", id, actor)
}

func (f *fake) ResumeWithAll(_ context.Context, id, actor string) (connection.Connection, error) {
	return f.govern("resume with all", id, actor)
}

func (f *fake) Requeue(_ context.Context, id string, since time.Time, window time.Duration) (string, error) {
	return f.requeue(id, since, window)
}

func (f *fake) DeadLetters(_ context.Context, id, after string, limit int) ([]job.DeadLetter, string, error) {
	var of []job.DeadLetter
	for _, d := range f.dead {
		if id == "" || d.Job.Connection == id {
			of = append(of, d)
		}
	}
	return cut(of, func(d job.DeadLetter) string { return fmt.Sprint(d.Sequence) }, after, limit, f.err)
}

func (f *fake) Resubmit(ctx context.Context, id string, sequence int64, limit int, judge func(context.Context, job.Job) (job.Fate, error)) (map[job.Fate]int, bool, error) {
	f.fates = map[string]job.Fate{}
	for _, d := range f.dead {
		if d.Job.Connection == id && (sequence == 0 || d.Sequence == sequence) {
			fate, err := judge(ctx, d.Job)
			if err != nil {
				return nil, false, err
			}
			f.fates[d.Job.Run] = fate
		}
	}
	return f.resubmit(id, sequence, limit)
}
