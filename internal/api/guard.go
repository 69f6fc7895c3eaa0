package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
)

// Guard is how much a run may remove without a human.
type Guard struct {
	MaxCount       int `json:"maxCount" doc:"The most people that a run may archive; 0 for no such limit." example:"100"`
	MaxPercent     int `json:"maxPercent" doc:"The greatest part of those active, in percent, of people, of teams and of memberships each; 0 for no such limit. Up to five are never held for their part." example:"10"`
	MaxTeams       int `json:"maxTeams" doc:"The most teams that a run may archive; 0 for no such limit." example:"20"`
	MaxMemberships int `json:"maxMemberships" doc:"The most memberships that a run may end; 0 for no such limit." example:"1000"`
}

// Override is a leave to pass the guard once.
type Override struct {
	By string    `json:"by,omitempty" doc:"Who gave it, as the vendor asserted." example:"ada@vendor.example"`
	At time.Time `json:"at" example:"2026-11-21T09:35:00Z"`
}

type changeRequest struct {
	Caller
	Target
	Body ConnectionChangeRequest
}

// ConnectionChangeRequest changes what it names, and nothing else.
type ConnectionChangeRequest struct {
	Name          nameChange     `json:"name,omitempty" doc:"The company's name as its administrator will read it. Without control or formatting characters and without white space at the ends. Absent, nothing changes." example:"Contoso Ltd"`
	Guard         guardChange    `json:"guard,omitempty" doc:"The connection's own limits of removals, all of them; null to go back to the service's. Absent, nothing changes." example:"{\"maxCount\":50,\"maxPercent\":20,\"maxTeams\":10,\"maxMemberships\":500}"`
	GuardOverride overrideChange `json:"guardOverride,omitempty" doc:"true lets the next run that has removals to judge pass the guard, once, whatever their number; false takes that back." example:"true"`
	Schedule      scheduleChange `json:"schedule,omitempty" doc:"When it is synced, all of it; null to go back to the service's own interval. Absent, nothing changes." example:"{\"every\":\"daily\",\"at\":\"06:30\",\"zone\":\"Europe/Amsterdam\"}"`
	Settings      settingsChange `json:"settings,omitempty" doc:"What is synced, and of whom. What is not named stays as it is." example:"{\"mailboxes\":true,\"guests\":false}"`
}

// GuardRequest sets all limits: one that was left out would have to mean
// something, and no limit at all is the last thing that it should.
type GuardRequest struct {
	MaxCount       *int `json:"maxCount" nullable:"false" minimum:"0" maximum:"1000000" doc:"The most people that a run may archive without a human; 0 for no such limit." example:"50"`
	MaxPercent     *int `json:"maxPercent" nullable:"false" minimum:"0" maximum:"100" doc:"The greatest part of those active, in percent, of people, of teams and of memberships each; 0 for no such limit. Up to five are never held for their part." example:"20"`
	MaxTeams       *int `json:"maxTeams" nullable:"false" minimum:"0" maximum:"1000000" doc:"The most teams that a run may archive without a human; 0 for no such limit." example:"10"`
	MaxMemberships *int `json:"maxMemberships" nullable:"false" minimum:"0" maximum:"10000000" doc:"The most memberships that a run may end without a human; 0 for no such limit." example:"500"`
}

// guardChange tells null, which clears the limits, from absence.
type guardChange struct {
	given  bool
	limits *GuardRequest // nil to clear
}

func (g *guardChange) UnmarshalJSON(b []byte) error {
	g.given = true
	return json.Unmarshal(b, &g.limits)
}

// Schema is that of [GuardRequest] with null beside it.
func (*guardChange) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[GuardRequest]())
	s.Nullable = true
	return s
}

// overrideChange is a boolean that tells null, which is refused, from absence.
type overrideChange struct {
	given bool
	leave *bool
}

func (o *overrideChange) UnmarshalJSON(b []byte) error {
	o.given = true
	return json.Unmarshal(b, &o.leave)
}

// Schema is that of a boolean.
func (*overrideChange) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeBoolean}
}

// nameChange is a name that tells null, which is refused, from absence.
type nameChange struct {
	given bool
	text  *string
}

func (n *nameChange) UnmarshalJSON(b []byte) error {
	n.given = true
	return json.Unmarshal(b, &n.text)
}

// Schema is that of a name.
func (*nameChange) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(256)}
	s.PrecomputeMessages()
	return s
}

// wrong is what is wrong with the name, or "".
func (n *nameChange) wrong() string {
	if n.text == nil {
		return "expected string"
	}
	return checkText(*n.text)
}

// Resolve refuses what huma lets pass: it takes null for whatever may be
// absent, and in an object that may be null for each property.
func (b *ConnectionChangeRequest) Resolve(_ huma.Context, at *huma.PathBuffer) (errs []error) {
	if b.Name.given {
		if msg := b.Name.wrong(); msg != "" {
			errs = append(errs, &huma.ErrorDetail{Location: at.With("name"), Message: msg})
		}
	}
	if b.GuardOverride.given && b.GuardOverride.leave == nil {
		errs = append(errs, &huma.ErrorDetail{Location: at.With("guardOverride"), Message: "expected boolean"})
	}
	return slices.Concat(b.Guard.gaps(at), errs, b.Settings.nulls(at), b.Schedule.nulls(at))
}

func (a *API) guardRoutes() {
	change(a, huma.Operation{
		OperationID: "change-connection", Method: http.MethodPatch, Path: "/v1/connections/{id}",
		Tags: []string{tagConnections}, Summary: "Change a connection's name, settings and limits",
		Description: "A run whose removals exceed a limit writes everything else and holds them for a human to decide. " +
			"New limits count from the end of the next run on; a plan that waits already goes on waiting. " +
			"The body is a merge patch: what it does not name stays; guard and schedule alone can be null. " +
			"Scope groups that are new are looked for in the tenant, and one that is not there is refused; if Microsoft cannot be asked, they are taken, and notice says so." + settingsInWords + scheduleInWords,
		Errors: []int{404, 409},
	}, trail[changeRequest]{
		actions: []string{"name.change", "settings.change", "schedule.change", "guard.change", "guard.override"},
		acts:    func(in *changeRequest) []act { return in.Body.acts() },
	}, a.change)
}

// acts is what the request changes, for the audit log.
func (b *ConnectionChangeRequest) acts() (acts []act) {
	if b.Name.given {
		acts = append(acts, act{"name.change", nil})
	}
	if b.Settings.given {
		acts = append(acts, act{"settings.change", b.Settings.detail()})
	}
	if b.Schedule.given {
		acts = append(acts, act{"schedule.change", b.Schedule.detail()})
	}
	if b.Guard.given {
		acts = append(acts, act{"guard.change", b.Guard.detail()})
	}
	if b.GuardOverride.given {
		acts = append(acts, act{"guard.override", map[string]string{"leave": strconv.FormatBool(*b.GuardOverride.leave)}})
	}
	return acts
}

func (a *API) change(ctx context.Context, in *changeRequest) (*one[Connection], error) {
	body := &in.Body
	if len(body.acts()) == 0 {
		c, err := a.connection(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return a.show(ctx, &c)
	}
	before, err := a.connection(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	notice, err := a.scoped(ctx, &before, &body.Settings)
	if err != nil {
		return nil, err
	}
	now := a.Now().UTC()
	c, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		if body.Name.given {
			c.Name = *body.Name.text
		}
		if body.Guard.given {
			c.Guard = body.Guard.guard()
		}
		if body.GuardOverride.given {
			c.Override = nil
			if *body.GuardOverride.leave {
				c.Override = &connection.Override{By: in.Actor, At: now.Truncate(time.Second)}
			}
		}
		if err := body.Schedule.apply(c, now); err != nil {
			return err
		}
		return a.applySettings(c, &body.Settings, now)
	})
	if err != nil {
		return nil, err
	}
	v := a.changed(ctx, &c)
	v.Notice = notice
	return &one[Connection]{v}, nil
}
