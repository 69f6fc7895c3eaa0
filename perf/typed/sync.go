package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/microsoftgraph/msgraph-sdk-go/models"

	"rollcall/perf/azure"
	"rollcall/perf/crowd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Sync is a first sync into an empty partition.
type Sync struct {
	Servers  wires.Servers
	Part     string
	Selected []string
}

// syncs upserts one person after the other as the pages bring them.
func syncs(a Sync) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	table, err := a.Servers.Table(t, azure.Table)
	if err != nil {
		return nil, err
	}
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		ctx := context.Background()
		err = each(ctx, a.Servers, t, a.Selected, func(u models.Userable) error {
			p := person(u)
			b, err := azure.Entity(a.Part, &p)
			if err != nil {
				return err
			}
			out.Units++
			_, err = table.UpsertEntity(ctx, b, nil)
			return err
		})
		return out, err
	}, nil
}

// Sweep is tenants to look after one by one, each with so many reads and
// writes of its state.
type Sweep struct {
	Servers       wires.Servers
	Tenants       int
	Delta         string // the link of a round in which nothing has changed
	Reads, Writes int
}

// sweep asks for the changes of one tenant after the other, each with a new
// client and a new transport.
func sweep(a Sweep) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	defer t.CloseIdleConnections()
	if _, err := a.Servers.Table(t, azure.Table); err != nil { // made before the clock runs
		return nil, err
	}
	return func() (out side.Outcome, err error) {
		for n := range a.Tenants {
			if err := a.tenant(n); err != nil {
				return out, err
			}
			out.Units++
		}
		return out, nil
	}, nil
}

func (a Sweep) tenant(n int) error {
	ctx := context.Background()
	t, err := a.Servers.Transport()
	if err != nil {
		return err
	}
	defer t.CloseIdleConnections()
	table, err := a.Servers.Made(t, azure.Table)
	if err != nil {
		return err
	}
	row := fmt.Sprintf("t%06d", n)
	for range a.Reads {
		_, err := table.GetEntity(ctx, "sweep", row, nil)
		if re, ok := errors.AsType[*azcore.ResponseError](err); err != nil && !(ok && re.StatusCode == 404) {
			return err
		}
	}
	c, _, err := client(a.Servers, t)
	if err != nil {
		return err
	}
	page, err := c.Users().Delta().WithUrl(a.Delta).GetAsDeltaGetResponse(ctx, nil)
	if err != nil {
		return err
	}
	if len(page.GetValue()) != 0 || page.GetOdataDeltaLink() == nil {
		return errors.New("this was to be a round without changes")
	}
	state := crowd.Person{ID: row, Mail: *page.GetOdataDeltaLink()}
	for range a.Writes {
		b, err := azure.Entity("sweep", &state)
		if err != nil {
			return err
		}
		if _, err := table.UpsertEntity(ctx, b, nil); err != nil {
			return err
		}
	}
	return nil
}
