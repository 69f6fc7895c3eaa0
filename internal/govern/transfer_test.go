package govern_test

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/govern"
)

// invited is a connection that waits for its administrator.
func (w *world) invited(named string) string {
	return w.add(func(c *connection.Connection) {
		*c = connection.Connection{ID: c.ID, Company: "c-2", Name: "Fabrikam", Status: connection.Invited, NamedTenant: named, Link: 1, LinkExpires: c.LinkExpires, CreatedAt: c.CreatedAt}
	})
}

// The tenant goes from one to the other and is never free in between; the
// data stays where it is.
func TestTransfer(t *testing.T) {
	w := newWorld(t)
	from := w.add(nil)
	w.plant(from, 3)
	rows, tenant := w.left(from), w.read(from).Tenant
	to := w.invited("")
	invitation := w.read(to)
	got, err := w.Transfer(t.Context(), from, to, "anna")
	if err != nil {
		t.Fatal(err)
	}
	invitation.NamedTenant, invitation.Version = tenant, got.Version
	if !reflect.DeepEqual(got, invitation) || !reflect.DeepEqual(w.read(to), got) {
		t.Errorf("receiver %+v, want %+v", got, invitation)
	}
	if w.owner(tenant) != to {
		t.Errorf("owner %s", w.owner(tenant))
	}
	giver := w.read(from)
	if o := giver.Offboarding; giver.Status != connection.Offboarded || o.To != to || o.By != "anna" || o.Tenant != tenant || o.Purge || !w.fence(from).Closed {
		t.Errorf("giver %+v, %+v", giver, o)
	}
	if n := w.left(from); n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}
	again, err := w.Transfer(t.Context(), from, to, "bob")
	if err != nil || !reflect.DeepEqual(again, got) || !reflect.DeepEqual(w.read(from), giver) {
		t.Errorf("again %+v, %v", again, err)
	}
	es := w.entries(to)
	if len(es) != 1 || es[0].Action != "transfer" || es[0].Outcome != "asked" || es[0].Source != connection.FromAPI || es[0].Actor != "anna" ||
		!reflect.DeepEqual(es[0].Detail, map[string]string{"from": from, "tenant": tenant}) {
		t.Errorf("noted of the receiver %+v", es)
	}
	// The giver's data can go without the receiver's tenant.
	if _, err := w.Offboard(t.Context(), from, true, ""); err != nil {
		t.Fatal(err)
	}
	w.work()
	if w.left(from) != 0 || w.owner(tenant) != to {
		t.Errorf("%d rows left, owner %s", w.left(from), w.owner(tenant))
	}
	// And the receiver can end before it ever had it.
	if _, err := w.Offboard(t.Context(), to, false, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.owner(tenant); got != "" {
		t.Errorf("owner %s", got)
	}
	w.repair(from)
	if got := w.owner(tenant); got != "" {
		t.Errorf("owner after a repair %s", got)
	}
}

// Who cannot receive a tenant, or has none to give, is refused, and nothing is
// changed.
func TestTransferRefused(t *testing.T) {
	w := newWorld(t)
	with := func(s connection.Status, tenant string) string {
		return w.add(func(c *connection.Connection) { c.Status, c.Tenant = s, tenant })
	}
	gone := func() string {
		id := w.add(nil)
		_, err := w.Offboard(t.Context(), id, false, "")
		w.must(err)
		return id
	}
	from := w.add(nil)
	tenant := w.read(from).Tenant
	stolen := with(connection.Disconnected, "tenant-"+connection.NewID())
	w.must(w.store.Disown(t.Context(), w.read(stolen).Tenant, stolen))
	w.must(w.store.Claim(t.Context(), w.read(stolen).Tenant, "thief"))
	failed := func(tenant string) string { // by the check after the first consent
		return w.add(func(c *connection.Connection) {
			c.Status, c.Tenant, c.Verified, c.NextDue = connection.Failed, tenant, time.Time{}, time.Time{}
		})
	}
	unclaimed := failed("tenant-" + connection.NewID())
	w.must(w.store.Disown(t.Context(), w.read(unclaimed).Tenant, unclaimed))
	unproven := failed("tenant-" + connection.NewID())
	w.must(w.store.Disown(t.Context(), w.read(unproven).Tenant, unproven))
	w.must(w.store.Claim(t.Context(), w.read(unproven).Tenant, "owner"))
	given := w.add(nil)
	_, err := w.Transfer(t.Context(), given, w.invited(""), "")
	w.must(err)
	for name, tt := range map[string]struct {
		from, to, code string
		kind           fault.Kind
	}{
		"to itself":         {from, from, "", fault.Invalid},
		"unknown giver":     {"none", w.invited(""), "", fault.NotFound},
		"unknown receiver":  {from, "none", "", fault.NotFound},
		"nothing to give":   {w.invited(""), w.invited(""), "not_connected", fault.Denied},
		"giver has ended":   {gone(), w.invited(""), "offboarded", fault.Conflict},
		"given to another":  {given, w.invited(""), "offboarded", fault.Conflict},
		"owned by another":  {stolen, w.invited(""), "tenant_owned", fault.Conflict},
		"not its own":       {unproven, w.invited(""), "tenant_owned", fault.Conflict},
		"nobody's":          {unclaimed, w.invited(""), "not_connected", fault.Denied},
		"receiver connects": {from, with(connection.Consenting, ""), "cannot_receive", fault.Conflict},
		"receiver has one":  {from, with(connection.Failed, "tenant-"+connection.NewID()), "cannot_receive", fault.Conflict},
		"receiver is named": {from, w.invited("tenant-other"), "cannot_receive", fault.Conflict},
		"receiver is live":  {from, with(connection.OK, ""), "cannot_receive", fault.Conflict},
		"receiver ended":    {from, gone(), "cannot_receive", fault.Conflict},
	} {
		var before []connection.Connection
		read := func() (cs []connection.Connection) {
			for _, id := range []string{tt.from, tt.to} {
				if id != "none" {
					cs = append(cs, w.read(id))
				}
			}
			return cs
		}
		before = read()
		_, err := w.Transfer(t.Context(), tt.from, tt.to, "")
		if e := fault.Of(err); err == nil || e.Kind != tt.kind || e.Code != tt.code && tt.kind != fault.NotFound || e.Remedy == "" && tt.kind != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(read(), before) || w.owner(tenant) != from {
			t.Errorf("%s: something was changed", name)
		}
	}
	// Who is named for that very tenant, or has failed before, can.
	for _, to := range []string{w.invited(tenant), with(connection.Failed, ""), with(connection.Disconnected, "")} {
		from := w.add(nil)
		if n := w.read(to).NamedTenant; n != "" {
			c := w.read(from)
			w.must(w.store.Disown(t.Context(), c.Tenant, from))
			w.must(w.store.TransferClaim(t.Context(), tenant, w.owner(tenant), from))
			c.Tenant = tenant
			_, err := w.store.UpdateConnection(t.Context(), c)
			w.must(err)
		}
		if _, err := w.Transfer(t.Context(), from, to, ""); err != nil {
			t.Errorf("to %s: %v", w.read(to).Status, err)
		}
	}
}

// meddled is connections of which somebody else writes one just before the
// first update.
type meddled struct {
	govern.Connections
	once *sync.Once
	do   func()
}

func (m meddled) UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	m.once.Do(m.do)
	return m.Connections.UpdateConnection(ctx, c)
}

// meanwhile has do done just before the governor's next update of a connection,
// and returns what says whether it was.
func (w *world) meanwhile(do func()) (met func() bool) {
	done, before := false, w.Connections
	w.Connections = meddled{before, new(sync.Once), func() {
		done = true
		w.Connections = before
		do()
	}}
	return func() bool { return done }
}

// Of two transfers at once one wins, and the other leaves nothing behind; who
// lost is refused, and its receiver can receive another tenant.
func TestTransferRace(t *testing.T) {
	w := newWorld(t)
	from, winner, loser := w.add(nil), w.invited(""), w.invited("")
	tenant := w.read(from).Tenant
	met := w.meanwhile(func() {
		_, err := w.Transfer(t.Context(), from, winner, "bob")
		w.must(err)
	})
	_, err := w.Transfer(t.Context(), from, loser, "anna")
	if !met() || !fault.Is(err, fault.Conflict) || fault.Of(err).Code != "offboarded" {
		t.Errorf("the loser: %v", err)
	}
	if w.owner(tenant) != winner || w.read(winner).NamedTenant != tenant || w.read(loser).NamedTenant != "" || len(w.entries(loser)) > 0 {
		t.Errorf("owner %s, loser %+v, noted %+v", w.owner(tenant), w.read(loser), w.entries(loser))
	}
	if _, err := w.Transfer(t.Context(), w.add(nil), loser, "anna"); err != nil {
		t.Error(err)
	}
}

// A receiver that cannot have the tenant any more leaves it free, and whoever
// asked is told.
func TestTransferComesTooLate(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(nil), w.invited("")
	tenant := w.read(from).Tenant
	met := w.meanwhile(func() {
		c := w.read(to)
		c.Status, c.Tenant = connection.Consenting, "tenant-"+connection.NewID()
		_, err := w.store.UpdateConnection(t.Context(), c)
		w.must(err)
	})
	_, err := w.Transfer(t.Context(), from, to, "anna")
	if e := fault.Of(err); !met() || err == nil || e.Code != "cannot_receive" || e.Remedy == "" {
		t.Errorf("%v", err)
	}
	if w.owner(tenant) != "" || w.read(from).Status != connection.Offboarded || w.read(to).NamedTenant != "" {
		t.Errorf("owner %q, receiver %+v", w.owner(tenant), w.read(to))
	}
}

// The reservation lasts until the receiver has connected: the janitor takes a
// claim for forgotten after some hours, but this one is renewed.
func TestReservationLasts(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(nil), w.invited("")
	tenant := w.read(from).Tenant
	if _, err := w.Transfer(t.Context(), from, to, ""); err != nil {
		t.Fatal(err)
	}
	claimed := func() time.Time {
		t.Helper()
		for after := ""; ; {
			cs, next, err := w.store.Claims(t.Context(), after, 1000)
			w.must(err)
			for _, c := range cs {
				if c.Tenant == tenant {
					return c.At
				}
			}
			if after = next; next == "" {
				return time.Time{}
			}
		}
	}
	for i := range 30 {
		if i == 1 { // it outlives the giver's data
			_, err := w.Offboard(t.Context(), from, true, "")
			w.must(err)
			w.work()
		}
		w.clock.Advance(time.Hour)
		w.repair(from)
		if at := claimed(); !at.Equal(w.clock.Now()) {
			t.Errorf("claimed at %s, want %s", at, w.clock.Now())
		}
	}
	w.must(w.store.Disown(t.Context(), tenant, to)) // a janitor that came late
	w.repair(from)
	if w.owner(tenant) != to {
		t.Errorf("owner %q", w.owner(tenant))
	}
	c := w.read(to)
	c.Status, c.Tenant, c.Verified = connection.Connected, tenant, w.clock.Now()
	_, err := w.store.UpdateConnection(t.Context(), c)
	w.must(err)
	at := claimed()
	w.clock.Advance(time.Hour)
	w.repair(from)
	if !claimed().Equal(at) {
		t.Error("the claim of a connected tenant was renewed")
	}
	w.must(w.store.Disown(t.Context(), tenant, to))
	w.must(w.store.Claim(t.Context(), tenant, "another"))
	w.repair(from)
	if w.owner(tenant) != "another" {
		t.Errorf("owner %q", w.owner(tenant))
	}
}
