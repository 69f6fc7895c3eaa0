package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Audit keeps who did what to which connection. It only grows.
type Audit interface {
	// Note adds an entry; one without an ID is given one.
	Note(ctx context.Context, e connection.Entry) error
	// Entries lists newest first; next is empty at the end.
	Entries(ctx context.Context, connection, after string, limit int) (es []connection.Entry, next string, err error)
}

// auditExtension names the actions of an operation in the document.
const auditExtension = "x-rollcall-audit"

// The outcomes that the API notes. What Rollcall does later, it notes itself.
const (
	outcomeAsked   = "asked"
	outcomeRefused = "refused: "
)

// act is one change that a request asks for. Its details are IDs, codes and
// settings, never names or secrets.
type act struct {
	action string
	detail map[string]string
}

// trail is what a changing operation leaves in the audit log.
type trail[I any] struct {
	// actions are all that it may note, acts which of them a request does.
	actions []string
	acts    func(*I) []act
	// ended is true if the operation serves offboarded connections too.
	ended bool
}

// audited is the trail of an operation with one action; detail may be nil.
func audited[I any](action string, detail func(*I) map[string]string) trail[I] {
	return trail[I]{actions: []string{action}, acts: func(in *I) []act {
		if detail == nil {
			return []act{{action, nil}}
		}
		return []act{{action, detail(in)}}
	}}
}

// deed is a request that changes something: it says of which connection, and
// for whom.
type deed[I any] interface {
	*I
	target() string
	caller() string
}

// change registers an operation that changes something. It is noted before it
// is done, and not done if it cannot be noted; if it is refused, that is noted
// too. Nothing is noted of a connection that does not exist.
func change[I, O any, D deed[I]](a *API, op huma.Operation, t trail[I], handle func(context.Context, *I) (*O, error)) {
	op.Extensions = map[string]any{auditExtension: t.actions}
	creates := !strings.Contains(op.Path, "{id}")
	register(a, op, func(ctx context.Context, in *I) (*O, error) {
		var c connection.Connection
		if !creates {
			var err error
			if c, err = a.connection(ctx, D(in).target()); err != nil {
				return nil, err
			}
		}
		entry := connection.Entry{Connection: D(in).target(), Source: connection.FromAPI, Actor: D(in).caller()}
		acts := t.acts(in)
		if err := a.note(ctx, entry, acts); err != nil {
			return nil, err
		}
		err := mayChange(&c)
		if err == nil || t.ended {
			var out *O
			if out, err = handle(ctx, in); err == nil {
				return out, nil
			}
		}
		p := answer(ctx, a.Log, op.OperationID, err)
		if p.code() == codeNotConnected && c.Status == connection.Paused {
			p = idle(&c)
		}
		a.noteRefusal(ctx, entry, acts, p)
		return nil, p
	})
}

// note adds what is asked for to the audit log, before it is done.
func (a *API) note(ctx context.Context, e connection.Entry, acts []act) error {
	for i, t := range acts {
		e.At, e.Action, e.Detail, e.Outcome = a.Now().UTC(), t.action, t.detail, outcomeAsked
		if err := a.Audit.Note(ctx, e); err != nil {
			a.Log.ErrorContext(ctx, "audit log not writable", "connection", e.Connection, "action", t.action, "err", err)
			p := problem(codeUnavailable, "The audit log could not be written, so nothing was done.")
			p.after = retryUnknown
			a.noteRefusal(ctx, e, acts[:i], p)
			return p
		}
	}
	return nil
}

// noteTime bounds the noting of a refusal, which goes on if the client leaves.
const noteTime = 10 * time.Second

// noteRefusal notes that what was asked for was refused. It is answered all
// the same if it cannot be noted.
func (a *API) noteRefusal(ctx context.Context, e connection.Entry, acts []act, p *Problem) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	for _, t := range acts {
		e.At, e.Action, e.Detail, e.Outcome = a.Now().UTC(), t.action, t.detail, outcomeRefused+p.code()
		if err := a.Audit.Note(ctx, e); err != nil {
			a.Log.ErrorContext(ctx, "refusal not in the audit log", "connection", e.Connection, "action", t.action, "code", p.code(), "err", err)
		}
	}
}

// Entry is one line of a connection's audit log.
type Entry struct {
	ID      string            `json:"id" doc:"Unique within the connection." example:"04f8f6b1c2d-9f2c4e71ab03"`
	At      time.Time         `json:"at" example:"2026-11-21T09:40:00Z"`
	Source  string            `json:"source" enum:"api,administrator,rollcall" doc:"Who is known to have acted. api: somebody with a function key. administrator: whoever followed the link, or signed in at Microsoft. rollcall: the service itself." example:"api"`
	Actor   string            `json:"actor,omitempty" doc:"For api, the person whom the vendor asserted; for administrator, tenant and object ID of who was proven." example:"ada@vendor.example"`
	Action  string            `json:"action" doc:"What was done, in short dotted words; more may follow." example:"settings.change"`
	Outcome string            `json:"outcome" doc:"asked: noted before it was done. done: noted afterwards. refused, with a colon and a problem's code: it was not done; after refused: unavailable it is not known whether it was." example:"asked"`
	Detail  map[string]string `json:"detail,omitempty" doc:"IDs, codes and settings that tell more; never names, mail or secrets." example:"{\"guests\":\"false\"}"`
}

func shapeEntry(e *connection.Entry) Entry {
	return Entry{ID: e.ID, At: second(e.At), Source: e.Source, Actor: e.Actor, Action: e.Action, Outcome: e.Outcome, Detail: e.Detail}
}

// AuditPage is a page of the audit log.
type AuditPage struct {
	Audit []Entry `json:"audit" nullable:"false" doc:"Newest first."`
	Page
}

func (a *API) auditRoutes() {
	register(a, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/connections/{id}/audit",
		Tags: []string{tagConnections}, Summary: "Read the audit log",
		Description: "Who did what to the connection, newest first. Whatever is asked for by this API is noted before it is done, and again if it is refused; what cannot be noted is not done. " +
			"Consents and what Rollcall does of itself are noted too. Nothing is ever taken out: the log outlasts the connection and a purge of its data." + pagesInWords,
		Responses: listed[AuditPage](a), Errors: []int{400, 404},
	}, func(ctx context.Context, in *pageRequest) (*huma.StreamResponse, error) {
		return paged(ctx, a, in, listAudit, a.Audit.Entries, shapeEntry)
	})
}

// mayChange refuses changes of a connection that has ended, or is about to.
func mayChange(c *connection.Connection) error {
	if c.Offboarding != nil || c.Status == connection.Offboarded {
		return problem(codeOffboarded, "%s", samples[codeOffboarded])
	}
	return nil
}

// maxUpdates is how often a change is tried against other writers. A
// connection has few: a scheduler, one worker and the people who govern it.
const maxUpdates = 5

// update applies change to what is stored, again if another writer was
// faster. It returns what is then stored.
func (a *API) update(ctx context.Context, id string, change func(*connection.Connection) error) (connection.Connection, error) {
	for try := 1; ; try++ {
		c, err := a.connection(ctx, id)
		if err != nil {
			return c, err
		}
		if err := mayChange(&c); err != nil {
			return c, err
		}
		if err := change(&c); err != nil {
			return c, err
		}
		stored, err := a.Connections.UpdateConnection(ctx, c)
		if fault.Is(err, fault.Conflict) && try < maxUpdates {
			continue
		}
		return stored, err
	}
}
