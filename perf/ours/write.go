package ours

import (
	"context"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/tables"
	"rollcall/perf/crowd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Write is people to write into an empty partition.
type Write struct {
	Servers wires.Servers
	Crowd   crowd.Crowd
	Part    string
	// Changes has the numbered changes written too, as a sync does.
	Changes bool
	// Index has the packed index written too.
	Index bool
}

// record is the crowd's person as stored.
func record(p *crowd.Person, at time.Time, number int64) directory.Record {
	enabled := p.AccountEnabled
	r := directory.Record{Person: directory.Person{
		ID: p.ID, Mail: p.Mail, OtherMails: p.OtherMails, ProxyAddresses: p.ProxyAddresses, UserPrincipalName: p.UserPrincipalName,
		DisplayName: p.DisplayName, GivenName: p.GivenName, Surname: p.Surname, BusinessPhones: p.BusinessPhones, MobilePhone: p.MobilePhone,
		PreferredLanguage: p.PreferredLanguage, AccountEnabled: &enabled, UserType: p.UserType, JobTitle: p.JobTitle, Department: p.Department,
		OfficeLocation: p.OfficeLocation, EmployeeID: p.EmployeeID, EmployeeHireDate: p.EmployeeHireDate, AssignedLicenses: p.AssignedLicenses,
		Manager: p.Manager,
	}}
	r.Canonical()
	r.Created, r.Changed = at, number
	return r
}

// batches are the crowd's people in transactions as large as a sync's.
func batches(a Write) []directory.Batch {
	var all []directory.Batch
	at := time.Now().UTC()
	for from := 0; from < a.Crowd.People; from += directory.MaxRows {
		var b directory.Batch
		for i := from; i < min(from+directory.MaxRows, a.Crowd.People); i++ {
			p := a.Crowd.At(i, 0)
			r := record(&p, at, int64(i+1))
			b.Add = append(b.Add, r)
			if a.Changes {
				c := directory.Compare(nil, &r)
				c.Number, c.Run, c.At = int64(i+1), "07ffffffffff-bench", at
				b.Changes = append(b.Changes, *c)
			}
		}
		all = append(all, b)
	}
	return all
}

// commit writes the people as a sync commits them, each transaction with its
// fence.
func commit(a Write) (side.Work, error) {
	t, store, err := open(a.Servers)
	if err != nil {
		return nil, err
	}
	// The table is made before the clock runs.
	f, err := store.Commit(context.Background(), a.Part, job.Fence{Run: job.Run{ID: "bench", State: job.Running}}, directory.Batch{})
	if err != nil {
		return nil, err
	}
	if a.Index {
		f.Index.From = 1
	}
	all := batches(a)
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		for i := range all {
			if f, err = store.Commit(context.Background(), a.Part, f, all[i]); err != nil {
				return out, err
			}
		}
		return side.Outcome{Units: a.Crowd.People}, nil
	}, nil
}

// Read is a partition to read back.
type Read struct {
	Servers wires.Servers
	Part    string
}

// stored reads all that is stored of people and digests it.
func stored(a Read) (side.Work, error) {
	t, store, err := open(a.Servers)
	if err != nil {
		return nil, err
	}
	return func() (side.Outcome, error) {
		defer t.CloseIdleConnections()
		return digest(store, a.Part)
	}, nil
}

func digest(store *tables.Store, part string) (out side.Outcome, err error) {
	for after := ""; ; {
		people, next, err := store.People(context.Background(), part, after, 1000)
		if err != nil {
			return out, err
		}
		for i := range people {
			if people[i].Active() {
				p := plain(&people[i].Person)
				out.Digest += p.Digest()
				out.Units++
			}
		}
		if next == "" {
			return out, nil
		}
		after = next
	}
}

// prior reads the packed index of a partition into what a diff needs. Its
// digest is of the keys.
func prior(a Read) (side.Work, error) {
	t, store, err := open(a.Servers)
	if err != nil {
		return nil, err
	}
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		known := make(map[[16]byte]directory.Mark)
		err = store.Index(context.Background(), a.Part, 1, func(page []directory.Indexed) error {
			for _, e := range page {
				known[e.Key] = e.Mark
			}
			return nil
		})
		out.Units = len(known)
		for k, m := range known {
			if m != 0 { // else not stored any more
				out.Digest += crowd.KeyDigest(k)
			}
		}
		return out, err
	}, nil
}
