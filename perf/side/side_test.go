package side

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

var tasks = map[string]Prepare{
	"burn": Arg(func(d time.Duration) (Work, error) {
		return func() (Outcome, error) {
			for until := processor() + d; processor() < until; {
			}
			return Outcome{Units: 2, Digest: 1 << 63}, nil
		}, nil
	}),
	"fail": Arg(func(struct{}) (Work, error) { return nil, errors.New("no") }),
	"wait": Arg(func(file string) (Work, error) {
		return func() (Outcome, error) {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return Outcome{}, err
			}
			select {}
		}, nil
	}),
}

// The test's binary is the worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		if err := Serve(tasks, os.Stdin, os.Stdout); err != nil {
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, ctx context.Context) *Side {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(ctx, "worker", exe, "worker")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A worker does what it is told, measures it, and goes on after a failure.
func TestServe(t *testing.T) {
	s := start(t, context.Background())
	r, err := s.Do("burn", 20*time.Millisecond)
	if err != nil || r.Units != 2 || r.Digest != 1<<63 || r.CPU < 20*time.Millisecond || r.Wall < r.CPU/2 || r.Peak < 1<<20 {
		t.Errorf("%+v, %v", r, err)
	}
	if r.PerUnit() < 1e7 {
		t.Errorf("%f ns a unit", r.PerUnit())
	}
	for _, task := range []string{"fail", "other"} {
		if r, err := s.Do(task, struct{}{}); err == nil {
			t.Errorf("%s: %+v", task, r)
		}
	}
	if spent, err := s.Spent(); err != nil || spent < 0.02 || spent > 60 {
		t.Errorf("spent %f s, %v", spent, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A worker is gone whether its task ends or not: when who started it is gone,
// and when all is stopped.
func TestNobodyStays(t *testing.T) {
	for _, how := range []string{"input ends", "stopped"} {
		ctx, stop := context.WithCancel(context.Background())
		s := start(t, ctx)
		began := t.TempDir() + "/began"
		failed := make(chan error, 1)
		go func() {
			_, err := s.Do("wait", began)
			failed <- err
		}()
		for _, err := os.Stat(began); err != nil; _, err = os.Stat(began) {
			select {
			case err := <-failed:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
		if how == "stopped" {
			stop()
		} else if err := s.in.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err == nil {
			t.Errorf("%s: the task came to an end", how)
		}
		if err := s.Close(); err == nil {
			t.Errorf("%s: the process ended well", how)
		}
		stop()
	}
}
