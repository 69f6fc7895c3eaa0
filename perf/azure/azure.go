// Package azure writes and reads people with aztables as its documentation
// shows: one entity a person, one column a property.
package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/perf/crowd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Table is the table that the baselines write to.
const Table = "baseline"

// Entity is the person as an entity's JSON, with a hash in column H.
func Entity(part string, p *crowd.Person) ([]byte, error) {
	e := aztables.EDMEntity{Entity: aztables.Entity{PartitionKey: part, RowKey: p.ID}, Properties: make(map[string]any, 22)}
	p.Columns(func(name, value string) { e.Properties[name] = value })
	e.Properties["accountEnabled"] = p.AccountEnabled
	e.Properties["H"] = aztables.EDMInt64(int64(p.Digest()))
	e.Properties["V"] = int32(1)
	return json.Marshal(e)
}

// Person reads an entity back.
func Person(b []byte) (p crowd.Person, err error) {
	var e aztables.EDMEntity
	if err := json.Unmarshal(b, &e); err != nil {
		return p, err
	}
	text := func(name string) string { s, _ := e.Properties[name].(string); return s }
	list := func(name string) []string {
		if s := text(name); s != "" {
			return strings.Split(s, ",")
		}
		return nil
	}
	p = crowd.Person{
		ID: e.RowKey, Mail: text("mail"), UserPrincipalName: text("userPrincipalName"), DisplayName: text("displayName"),
		GivenName: text("givenName"), Surname: text("surname"), MobilePhone: text("mobilePhone"), PreferredLanguage: text("preferredLanguage"),
		UserType: text("userType"), JobTitle: text("jobTitle"), Department: text("department"), OfficeLocation: text("officeLocation"),
		EmployeeID: text("employeeId"), EmployeeHireDate: text("employeeHireDate"), Manager: text("manager"),
		OtherMails: list("otherMails"), ProxyAddresses: list("proxyAddresses"), BusinessPhones: list("businessPhones"), AssignedLicenses: list("assignedLicenses"),
	}
	p.AccountEnabled, _ = e.Properties["accountEnabled"].(bool)
	return p, nil
}

// Write is how many people of a crowd to write.
type Write struct {
	Servers wires.Servers
	Crowd   crowd.Crowd
	Part    string
}

// Read is what to read back.
type Read struct {
	Servers wires.Servers
	Part    string
	// Hashes asks for keys and hashes only.
	Hashes bool
	// Digest has what was read digested, which costs time.
	Digest bool
}

// Tasks are those of aztables.
var Tasks = map[string]side.Prepare{
	"submit": side.Arg(submit), "upsert": side.Arg(upsert), "list": side.Arg(list),
}

func people(c crowd.Crowd) []crowd.Person {
	all := make([]crowd.Person, c.People)
	for i := range all {
		all[i] = c.At(i, 0)
	}
	return all
}

// submit writes a hundred people a transaction.
func submit(a Write) (side.Work, error) {
	t, table, err := open(a.Servers)
	if err != nil {
		return nil, err
	}
	all := people(a.Crowd)
	return func() (side.Outcome, error) {
		defer t.CloseIdleConnections()
		for from := 0; from < len(all); from += 100 {
			var actions []aztables.TransactionAction
			for i := from; i < min(from+100, len(all)); i++ {
				b, err := Entity(a.Part, &all[i])
				if err != nil {
					return side.Outcome{}, err
				}
				actions = append(actions, aztables.TransactionAction{ActionType: aztables.TransactionTypeInsertReplace, Entity: b})
			}
			if _, err := table.SubmitTransaction(context.Background(), actions, nil); err != nil {
				return side.Outcome{}, err
			}
		}
		return side.Outcome{Units: len(all)}, nil
	}, nil
}

// open is the baselines' table, by a transport of its own.
func open(s wires.Servers) (*http.Transport, *aztables.Client, error) {
	t, err := s.Transport()
	if err != nil {
		return nil, nil, err
	}
	table, err := s.Table(t, Table)
	return t, table, err
}

// upsert writes one person after the other.
func upsert(a Write) (side.Work, error) {
	t, table, err := open(a.Servers)
	if err != nil {
		return nil, err
	}
	all := people(a.Crowd)
	return func() (side.Outcome, error) {
		defer t.CloseIdleConnections()
		for i := range all {
			b, err := Entity(a.Part, &all[i])
			if err != nil {
				return side.Outcome{}, err
			}
			if _, err := table.UpsertEntity(context.Background(), b, nil); err != nil {
				return side.Outcome{}, err
			}
		}
		return side.Outcome{Units: len(all)}, nil
	}, nil
}

// list reads a partition back, as columns or as hashes.
func list(a Read) (side.Work, error) {
	t, table, err := open(a.Servers)
	if err != nil {
		return nil, err
	}
	return func() (side.Outcome, error) {
		defer t.CloseIdleConnections()
		filter := fmt.Sprintf("PartitionKey eq '%s'", a.Part)
		opts := &aztables.ListEntitiesOptions{Filter: &filter}
		if a.Hashes {
			selected := "RowKey,H"
			opts.Select = &selected
		}
		var out side.Outcome
		known := make(map[string]int64)
		for pager := table.NewListEntitiesPager(opts); pager.More(); {
			page, err := pager.NextPage(context.Background())
			if err != nil {
				return out, err
			}
			for _, b := range page.Entities {
				out.Units++
				if !a.Hashes {
					p, err := Person(b)
					if err != nil {
						return out, err
					}
					if a.Digest {
						out.Digest += p.Digest()
					}
					continue
				}
				var e aztables.EDMEntity
				if err := json.Unmarshal(b, &e); err != nil {
					return out, err
				}
				h, _ := e.Properties["H"].(aztables.EDMInt64)
				known[e.RowKey] = int64(h)
			}
		}
		return out, nil
	}, nil
}
