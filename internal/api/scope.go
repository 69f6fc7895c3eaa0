package api

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	// lookTime bounds the look for new scope groups, at most twenty.
	lookTime = 20 * time.Second
	// looks is how many groups are asked for at the same time.
	looks = 4
)

// scoped looks for the scope groups that the request adds to those that the
// connection has. It refuses what Microsoft says is not there. If Microsoft
// cannot be asked, the settings are taken, and notice says so.
func (a *API) scoped(ctx context.Context, c *connection.Connection, wanted *settingsChange) (notice string, err error) {
	var added []string
	at := map[string]int{}
	for i, id := range wanted.wanted.Groups {
		if id := string(id); !slices.Contains(c.Chosen().Groups, id) && !slices.Contains(added, id) {
			added, at[id] = append(added, id), i
		}
	}
	switch {
	case len(added) == 0:
		return "", nil
	case !c.Live():
		return "The scope groups could not be looked for, since no tenant is connected just now; the next sync finds out.", nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	errs := make([]error, len(added))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for i, id := range added {
		group.Go(func() error {
			_, errs[i] = a.Groups.Group(ctx, c.Access(), id)
			return nil
		})
	}
	_ = group.Wait()
	bad := problem(codeValidation, "The tenant has no such group.").
		withRemedy("Choose a group that GET /v1/connections/" + c.ID + "/groups?search= finds. A group that was made just now is found after some minutes.")
	var unasked []string
	for i, id := range added {
		switch err := errs[i]; {
		case err == nil:
		case fault.Is(err, fault.NotFound):
			bad.at("body.settings.groups["+strconv.Itoa(at[id])+"]", "expected the object ID of a group of the tenant")
		default:
			unasked = append(unasked, id)
			a.Log.WarnContext(ctx, "scope group not looked for", "connection", c.ID, "group", id, "err", err)
		}
	}
	if len(bad.Errors) > 0 {
		return "", bad
	}
	if len(unasked) > 0 {
		notice = "Microsoft could not be asked whether the tenant has these scope groups: " + strings.Join(unasked, ", ") + ". They were taken; the next sync finds out."
	}
	return notice, nil
}
