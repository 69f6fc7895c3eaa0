package proof

import (
	"testing"
	"time"

	"rollcall/internal/sandbox"
)

// What is wrong with the vendor's own credential is no customer's failure:
// runs wait and say so, connections stay as they are, and all goes on by
// itself when it is mended.
func TestOurOwnTrouble(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20})
	cases := map[string]int{"our own secret is over": 7000222, "our federation is wrong": 700213}
	those := crowd(t, s, cases)
	s.Host.Kill() // and with it every token that it keeps
	together(t, cases, func(t *testing.T, name string, code int) {
		c := those[name]
		done := c.day(t)
		end := aadsts(code)(t, s, c)
		syncNow(t, s, c)
		err := sandbox.Await(within(t, time.Minute), "a waiting run", func() (bool, error) {
			all, err := runs(t.Context(), s, c)
			return len(all) == 2 && all[0].State == "waiting" && all[0].Problem != nil && all[0].Problem.Remedy != "", err
		})
		if err != nil {
			t.Error(err)
		}
		// It is not blamed for the run that waits.
		if conn := c.connection(t, s); conn.Status != "syncing" || conn.Problem != nil || conn.Health != nil {
			t.Errorf("meanwhile the connection is %+v", conn)
		}
		end()
		r := awaitRuns(t, s, c, 2)[0]
		if r.State != "succeeded" || r.Problem != nil || r.Counters.Retries == 0 {
			t.Errorf("run %+v, want one that went on by itself", r)
		}
		left(t, s, c, r, done)
	})
}
