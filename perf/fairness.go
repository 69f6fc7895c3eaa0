package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	model "rollcall/internal/sandbox/fairness"
)

// errStarved is that a tenant was not synced within its interval.
var errStarved = errors.New("a tenant starved")

// fairness simulates many tenants at Microsoft's limits, in virtual time, and
// prints who waits how long.
func fairness(args []string) error {
	flags := flag.NewFlagSet("perf fairness", flag.ContinueOnError)
	tenants := flags.Int("tenants", 10_000, "how many there are")
	seed := flags.Uint64("seed", 1, "what chance begins with")
	if err := flags.Parse(args); err != nil {
		return err
	}
	began := time.Now()
	var names []string
	var found []model.Report
	var short error
	for _, s := range model.Scenarios(*seed, *tenants) {
		r, err := model.Run(context.Background(), s.Config)
		if err != nil {
			return err
		}
		if r.Starved > 0 {
			short = errStarved
		}
		names, found = append(names, s.Name), append(found, r)
	}
	fmt.Print(model.Table(names, found))
	fmt.Printf("\nwaits: half of the runs, 99 of 100, the longest; simulated in %s\n", time.Since(began).Round(100*time.Millisecond))
	return short
}
