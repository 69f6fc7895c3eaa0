package api

import (
	"context"
	"slices"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// remedy is what mends the connection's problem, where what is stored of it
// would mislead: "consent again" is no help while the connection's own app
// registration does not ask for what is missing. Empty if the stored one holds.
// What the last run left out tells what is missing; if it cannot be read, all
// that the settings need is named.
func (a *API) remedy(ctx context.Context, c *connection.Connection) string {
	if !c.OwnLacks() {
		return ""
	}
	var scopes []string
	rest, found := c.Problem.Remedy, false
	if c.LastRun != "" {
		r, err := a.Runs.Run(ctx, c.ID, c.LastRun)
		if err != nil {
			a.Log.WarnContext(ctx, "last run unreadable", "connection", c.ID, "run", c.LastRun, "err", err)
		}
		scopes = lacking(&r)
		for _, s := range r.Skipped {
			if s.Consent && s.Remedy != "" && strings.Contains(rest, s.Remedy) {
				rest, found = strings.ReplaceAll(rest, s.Remedy, ""), true
			}
		}
	}
	if c.Status == connection.Failed && len(scopes) == 0 {
		scopes = c.Verify.Lacks
	}
	own := c.OwnRemedy(scopes...)
	if !found {
		return own
	}
	return strings.Join(strings.Fields(own+" "+rest), " ")
}

// lacking lists the permissions that a run was denied.
func lacking(r *job.Run) (scopes []string) {
	for _, s := range r.Skipped {
		if scope := connection.PermissionOf(s.What, s.Code); s.Consent && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// runOf shapes the runs of a connection. Those with an app registration of its
// own are told what that lacks.
func runOf(c *connection.Connection) func(*job.Run) Run {
	return func(r *job.Run) Run {
		v := shapeRun(r)
		if c.OwnApp == "" {
			return v
		}
		for i, s := range r.Skipped {
			if s.Consent {
				v.Skipped[i].Remedy = c.OwnRemedy(connection.PermissionOf(s.What, s.Code))
			}
		}
		if v.Problem != nil && connection.LacksPermission(r.Code) {
			v.Problem.Remedy = c.OwnRemedy(lacking(r)...)
		}
		return v
	}
}
