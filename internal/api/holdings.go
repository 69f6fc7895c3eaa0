package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
)

// Position is a job title with the people who hold it.
type Position struct {
	ID     string `json:"id" doc:"20 hexadecimal digits, made of the title. Titles that differ only in case and space are one position." example:"5c1b9d0e7fa2384466d1"`
	Title  string `json:"title" doc:"As one of its people has it." example:"Rear Admiral"`
	People int    `json:"people" doc:"How many active people hold it." example:"2"`
	Life
}

func shapePosition(p *directory.PositionRecord) Position {
	return Position{ID: p.ID, Title: p.Title, People: p.People, Life: shapeLife(&p.Life)}
}

// PositionPage is a page of positions.
type PositionPage struct {
	Positions []Position `json:"positions" nullable:"false" doc:"In ID order. A position that nobody holds any more is archived."`
	Page
}

// License is a subscription of the tenant.
type License struct {
	ID         string `json:"id" format:"uuid" doc:"The SKU's ID, as in a person's assignedLicenses." example:"6fd2c87f-b296-42f0-b197-1e91e994b900"`
	PartNumber string `json:"partNumber,omitempty" doc:"Microsoft's short name." example:"ENTERPRISEPACK"`
	Status     string `json:"status,omitempty" doc:"As Microsoft has it: Enabled, Warning, Suspended, Deleted or LockedOut." example:"Enabled"`
	LicenseCounts
	Life
}

// LicenseCounts is how many licenses there are.
type LicenseCounts struct {
	Total     int `json:"total" doc:"How many may be assigned." example:"250"`
	Consumed  int `json:"consumed" doc:"How many are assigned; more than total if the customer has reduced the subscription." example:"212"`
	Available int `json:"available" doc:"How many more can be assigned, never below 0." example:"38"`
}

// LicenseList is all licenses.
type LicenseList struct {
	Licenses []License     `json:"licenses" nullable:"false" doc:"In ID order, archived ones included."`
	Totals   LicenseCounts `json:"totals" doc:"The sums over those that are not archived."`
}

// Mailbox is a mailbox as Microsoft's usage report has it.
type Mailbox struct {
	ID                string `json:"id" format:"uuid" doc:"Made of the user principal name, which is all that the report tells of the owner." example:"0d4f1f5e-8a67-91c3-2b7a-9e8b4d5c6f70"`
	UserPrincipalName string `json:"userPrincipalName" example:"grace@contoso.com"`
	Purpose           string `json:"purpose,omitempty" doc:"user, linked, shared, room, equipment or others; absent if it is not known." example:"user"`
	Created           string `json:"createdDate,omitempty" doc:"A date, as the report has it." example:"2019-04-01"`
	LastActivity      string `json:"lastActivityDate,omitempty" doc:"A date, as the report has it." example:"2026-11-18"`
	Items             int64  `json:"itemCount" doc:"How many items it holds." example:"20431"`
	Size              int64  `json:"storageUsed" doc:"In bytes." example:"3221225472"`
	Quota             int64  `json:"quota,omitempty" doc:"In bytes; above it nothing can be sent or received." example:"107374182400"`
	HasArchive        bool   `json:"hasArchive" example:"false"`
	Life
}

func shapeMailbox(m *directory.MailboxRecord) Mailbox {
	return Mailbox{
		ID: m.ID, UserPrincipalName: m.UserPrincipalName, Purpose: m.Purpose, Created: m.CreatedDate, LastActivity: m.LastActivity,
		Items: m.Items, Size: m.Size, Quota: m.Quota, HasArchive: m.HasArchive, Life: shapeLife(&m.Life),
	}
}

// MailboxPage is a page of mailboxes.
type MailboxPage struct {
	Mailboxes []Mailbox `json:"mailboxes" nullable:"false" doc:"In ID order, archived ones included."`
	Page
}

type positionTarget struct {
	Target
	Position string `path:"position" doc:"The position's ID." example:"5c1b9d0e7fa2384466d1"`
}

func (a *API) holdingRoutes() {
	register(a, huma.Operation{
		OperationID: "list-positions", Method: http.MethodGet, Path: "/v1/connections/{id}/positions",
		Tags: []string{tagDirectory}, Summary: "List positions",
		Description: "The job titles of the people stored, with how many hold each. GET …/people?position= lists who." + pagesInWords,
		Responses:   listed[PositionPage](a), Errors: []int{400, 404},
	}, func(ctx context.Context, in *pageRequest) (*huma.StreamResponse, error) {
		return paged(ctx, a, in, listPositions, a.Holdings.Positions, shapePosition)
	})
	register(a, huma.Operation{
		OperationID: "read-position", Method: http.MethodGet, Path: "/v1/connections/{id}/positions/{position}",
		Tags: []string{tagDirectory}, Summary: "Read a position", Description: "One position, archived or not.",
		Errors: []int{404},
	}, a.position)
	register(a, huma.Operation{
		OperationID: "list-licenses", Method: http.MethodGet, Path: "/v1/connections/{id}/licenses",
		Tags: []string{tagDirectory}, Summary: "List licenses",
		Description: "All subscriptions of the tenant, with sums; a tenant has dozens, so there are no pages. GET …/people?license= lists who holds one.",
		Errors:      []int{404},
	}, a.licenses)
	register(a, huma.Operation{
		OperationID: "list-mailboxes", Method: http.MethodGet, Path: "/v1/connections/{id}/mailboxes",
		Tags: []string{tagDirectory}, Summary: "List mailboxes",
		Description: "The mailboxes of the tenant as of Microsoft's last usage report, which is up to some days old." + pagesInWords,
		Responses:   listed[MailboxPage](a), Errors: []int{400, 404},
	}, func(ctx context.Context, in *pageRequest) (*huma.StreamResponse, error) {
		return paged(ctx, a, in, listMailboxes, a.Holdings.Mailboxes, shapeMailbox)
	})
}

func (a *API) position(ctx context.Context, in *positionTarget) (*one[Position], error) {
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	missing := problem(codeNotFound, "The connection has no position with this ID.").
		withRemedy("Check the ID; GET /v1/connections/{id}/positions lists the positions.").at("path.position", "expected the ID of a position")
	if !validID(in.Position) {
		return nil, missing
	}
	stored, err := a.Holdings.PositionRecords(ctx, in.ID, []string{in.Position})
	if err != nil {
		return nil, err
	}
	p, ok := stored[in.Position]
	if !ok {
		return nil, missing
	}
	return &one[Position]{shapePosition(&p)}, nil
}

func (a *API) licenses(ctx context.Context, in *Target) (*one[LicenseList], error) {
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	stored, err := a.Holdings.Licenses(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v := LicenseList{Licenses: make([]License, len(stored))}
	for i := range stored {
		l := &stored[i]
		v.Licenses[i] = License{
			ID: l.ID, PartNumber: l.PartNumber, Status: l.Status,
			LicenseCounts: LicenseCounts{l.Total, l.Consumed, l.Available()}, Life: shapeLife(&l.Life),
		}
		if l.Active() {
			v.Totals.Total += l.Total
			v.Totals.Consumed += l.Consumed
			v.Totals.Available += l.Available()
		}
	}
	return &one[LicenseList]{v}, nil
}
