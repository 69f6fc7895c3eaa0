package main

import (
	"fmt"
	"slices"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/perf/crowd"
	"rollcall/perf/ours"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// present is everybody whom the tenant holds.
func present(t *tenant.Tenant) (out side.Outcome) {
	for _, p := range t.People() {
		q := crowd.Person{
			ID: p.ID, Mail: p.Mail, UserPrincipalName: p.UserPrincipalName, DisplayName: p.DisplayName, GivenName: p.GivenName,
			Surname: p.Surname, MobilePhone: p.MobilePhone, PreferredLanguage: p.PreferredLanguage, UserType: p.UserType,
			JobTitle: p.JobTitle, Department: p.Department, OfficeLocation: p.OfficeLocation, EmployeeID: p.EmployeeID,
			EmployeeHireDate: p.EmployeeHireDate, Manager: p.Manager, AccountEnabled: p.AccountEnabled,
			OtherMails: set(p.OtherMails), ProxyAddresses: set(p.ProxyAddresses), BusinessPhones: set(p.BusinessPhones),
		}
		for _, l := range p.AssignedLicenses {
			q.AssignedLicenses = append(q.AssignedLicenses, l.SkuID)
		}
		q.AssignedLicenses = set(q.AssignedLicenses)
		out.Digest += q.Digest()
		out.Units++
	}
	return out
}

func set(l []string) []string {
	l = slices.Clone(l)
	slices.Sort(l)
	return slices.Compact(l)
}

// ends asserts that everybody is stored, and active, as Microsoft holds them.
func (b *bench) ends(kind string, ms *side.Side, s wires.Servers) (err error) {
	want, err := ms.Do("present", struct{}{})
	if err != nil {
		return err
	}
	w, err := b.start("ours", b.exe, "worker")
	if err != nil {
		return err
	}
	got, err := w.Do("stored", ours.Read{Servers: s, Part: benchConn})
	if err != nil {
		return err
	}
	if err := b.end(w); err != nil {
		return err
	}
	return same(fmt.Sprintf("people stored after the run %q", kind), got, want, want.Digest)
}
