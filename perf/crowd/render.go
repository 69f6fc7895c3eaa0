package crowd

import "strconv"

// AppendUser renders the person as an entry of users/delta, or of a plain list
// with the manager expanded. Nothing needs escaping: the crowd's texts are
// plain.
func (p *Person) AppendUser(b []byte, list bool) []byte {
	text := func(name, v string) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		if v == "" {
			b = append(b, "null"...)
			return
		}
		b = append(b, '"')
		b = append(b, v...)
		b = append(b, '"')
	}
	texts := func(name string, l []string) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, '"', ':', '[')
		for i, s := range l {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, s...)
			b = append(b, '"')
		}
		b = append(b, ']')
	}
	b = append(b, `{"id":"`...)
	b = append(b, p.ID...)
	b = append(b, '"')
	text("mail", p.Mail)
	texts("otherMails", p.OtherMails)
	texts("proxyAddresses", p.ProxyAddresses)
	text("userPrincipalName", p.UserPrincipalName)
	text("displayName", p.DisplayName)
	text("givenName", p.GivenName)
	text("surname", p.Surname)
	texts("businessPhones", p.BusinessPhones)
	text("mobilePhone", p.MobilePhone)
	text("preferredLanguage", p.PreferredLanguage)
	b = strconv.AppendBool(append(b, `,"accountEnabled":`...), p.AccountEnabled)
	text("userType", p.UserType)
	text("jobTitle", p.JobTitle)
	text("department", p.Department)
	text("officeLocation", p.OfficeLocation)
	text("employeeId", p.EmployeeID)
	text("employeeHireDate", p.EmployeeHireDate)
	if p.AssignedLicenses != nil {
		b = append(b, `,"assignedLicenses":[`...)
		for i, sku := range p.AssignedLicenses {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"disabledPlans":[],"skuId":"`...)
			b = append(b, sku...)
			b = append(b, '"', '}')
		}
		b = append(b, ']')
	}
	switch {
	case p.Manager == "" && list:
		b = append(b, `,"manager":null`...)
	case p.Manager == "": // a delta does not mention that there is none
	case list:
		b = append(b, `,"manager":{"@odata.type":"#microsoft.graph.user","id":"`...)
		b = append(b, p.Manager...)
		b = append(b, `"}`...)
	default:
		b = append(b, `,"manager@delta":[{"@odata.type":"#microsoft.graph.user","id":"`...)
		b = append(b, p.Manager...)
		b = append(b, `"}]`...)
	}
	return append(b, '}')
}

// Group is a group with some of its members.
type Group struct {
	ID, Name string
	Members  []string
}

// Group is the n-th one, a Team of so many members.
func (c Crowd) Group(n, members int) Group {
	g := Group{ID: GUID(c.Seed+1, uint64(n)), Name: departments[n%len(departments)] + " " + strconv.Itoa(n)}
	for k := range members {
		g.Members = append(g.Members, GUID(c.Seed, mix(uint64(n)<<20+uint64(k))))
	}
	return g
}

// Digest is the sum over the group's memberships, in any order.
func (g *Group) Digest() (sum uint64) {
	for _, m := range g.Members {
		sum += Membership(g.ID, m)
	}
	return sum
}

// Membership is the digest of one.
func Membership(group, member string) uint64 {
	var p Person
	p.ID, p.Manager = member, group
	return p.Digest()
}

// AppendGroup renders the group as an entry of groups/delta.
func (g *Group) AppendGroup(b []byte) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, g.ID...)
	b = append(b, `","displayName":"`...)
	b = append(b, g.Name...)
	b = append(b, `","description":null,"mail":null,"visibility":"Private","groupTypes":["Unified"],"securityEnabled":false,"resourceProvisioningOptions":["Team"],"members@delta":[`...)
	for i, m := range g.Members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"@odata.type":"#microsoft.graph.user","id":"`...)
		b = append(b, m...)
		b = append(b, `"}`...)
	}
	return append(b, "]}"...)
}
