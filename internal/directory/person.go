// Package directory is what a tenant holds, and the pure functions that
// compare what is stored with what Microsoft says.
//
// Absence is no proof: nothing in this package turns a missing person into a
// removed one.
package directory

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Person is a user of the tenant with the properties that are synced. Empty
// means that Microsoft holds no value. Lists are sorted and without repeats.
type Person struct {
	// ID is the user's object ID, a lower-case GUID.
	ID                string   `json:"id"`
	Mail              string   `json:"mail,omitempty"`
	OtherMails        []string `json:"otherMails,omitempty"`
	ProxyAddresses    []string `json:"proxyAddresses,omitempty"`
	UserPrincipalName string   `json:"userPrincipalName,omitempty"`
	DisplayName       string   `json:"displayName,omitempty"`
	GivenName         string   `json:"givenName,omitempty"`
	Surname           string   `json:"surname,omitempty"`
	BusinessPhones    []string `json:"businessPhones,omitempty"`
	MobilePhone       string   `json:"mobilePhone,omitempty"`
	PreferredLanguage string   `json:"preferredLanguage,omitempty"`
	AccountEnabled    *bool    `json:"accountEnabled,omitempty"`
	UserType          string   `json:"userType,omitempty"`
	JobTitle          string   `json:"jobTitle,omitempty"`
	Department        string   `json:"department,omitempty"`
	OfficeLocation    string   `json:"officeLocation,omitempty"`
	EmployeeID        string   `json:"employeeId,omitempty"`
	EmployeeHireDate  string   `json:"employeeHireDate,omitempty"` // RFC 3339, as Graph wrote it
	// AssignedLicenses holds the SKU IDs of the person's licences.
	AssignedLicenses []string `json:"assignedLicenses,omitempty"`
	// Manager is the object ID of the person's manager.
	Manager string `json:"manager,omitempty"`
}

// property is one synced property: its name in Graph and in our API, and
// where it lives in a Person: a *string, a *[]string or a **bool.
type property struct {
	name string
	at   func(*Person) any
}

// properties is in canonical order: fingerprints depend on it, so new ones go
// to the end.
var properties = [...]property{
	{"mail", func(p *Person) any { return &p.Mail }},
	{"otherMails", func(p *Person) any { return &p.OtherMails }},
	{"proxyAddresses", func(p *Person) any { return &p.ProxyAddresses }},
	{"userPrincipalName", func(p *Person) any { return &p.UserPrincipalName }},
	{"displayName", func(p *Person) any { return &p.DisplayName }},
	{"givenName", func(p *Person) any { return &p.GivenName }},
	{"surname", func(p *Person) any { return &p.Surname }},
	{"businessPhones", func(p *Person) any { return &p.BusinessPhones }},
	{"mobilePhone", func(p *Person) any { return &p.MobilePhone }},
	{"preferredLanguage", func(p *Person) any { return &p.PreferredLanguage }},
	{"accountEnabled", func(p *Person) any { return &p.AccountEnabled }},
	{"userType", func(p *Person) any { return &p.UserType }},
	{"jobTitle", func(p *Person) any { return &p.JobTitle }},
	{"department", func(p *Person) any { return &p.Department }},
	{"officeLocation", func(p *Person) any { return &p.OfficeLocation }},
	{"employeeId", func(p *Person) any { return &p.EmployeeID }},
	{"employeeHireDate", func(p *Person) any { return &p.EmployeeHireDate }},
	{"assignedLicenses", func(p *Person) any { return &p.AssignedLicenses }},
	{"manager", func(p *Person) any { return &p.Manager }},
}

// Properties returns the names of the synced properties in canonical order,
// without id.
func Properties() []string {
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.name
	}
	return names
}

// Canonical sorts the lists and drops their repeats and empty strings, so
// that equal people compare equal however Graph ordered them.
func (p *Person) Canonical() {
	for _, prop := range properties {
		if l, ok := prop.at(p).(*[]string); ok && len(*l) > 0 {
			slices.Sort(*l)
			*l = slices.Compact(*l)
			if (*l)[0] == "" {
				*l = (*l)[1:]
			}
			if len(*l) == 0 {
				*l = nil
			}
		}
	}
}

// Fingerprint is a hash of the synced properties in canonical order. Two
// people with the same fingerprint have the same values; an empty value and a
// missing one are the same.
func (p *Person) Fingerprint() uint64 {
	var (
		h   xxhash.Digest
		buf [binary.MaxVarintLen64]byte
	)
	h.Reset()
	num := func(n int) { _, _ = h.Write(binary.AppendUvarint(buf[:0], uint64(n))) }
	str := func(s string) { num(len(s)); _, _ = h.WriteString(s) }
	for i, prop := range properties {
		switch v := prop.at(p).(type) {
		case *string:
			if *v != "" {
				num(i + 1)
				str(*v)
			}
		case *[]string:
			if len(*v) > 0 {
				num(i + 1)
				num(len(*v))
				for _, s := range *v {
					str(s)
				}
			}
		case **bool:
			if *v != nil {
				num(i + 1)
				if **v {
					num(1)
				} else {
					num(0)
				}
			}
		}
	}
	return h.Sum64()
}

// null is the value of a property that was cleared.
var null = json.RawMessage("null")

// value is the property's JSON, null if it is empty.
func (prop property) value(p *Person) json.RawMessage {
	var v any
	switch at := prop.at(p).(type) {
	case *string:
		if *at == "" {
			return null
		}
		v = *at
	case *[]string:
		if len(*at) == 0 {
			return null
		}
		v = *at
	case **bool:
		if *at == nil {
			return null
		}
		v = **at
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // strings and booleans only: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Difference returns the properties in which next differs from prior, with
// next's values; null stands for a cleared one. It is empty if they agree.
func Difference(prior, next *Person) map[string]json.RawMessage {
	var set map[string]json.RawMessage
	for _, prop := range properties {
		v := prop.value(next)
		if bytes.Equal(v, prop.value(prior)) {
			continue
		}
		if set == nil {
			set = make(map[string]json.RawMessage)
		}
		set[prop.name] = v
	}
	return set
}

// Record is a person as stored.
type Record struct {
	Person
	Life
}

// Key returns the 16 bytes of a GUID in its canonical form: lower-case hex
// with four hyphens.
func Key(id string) (k [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return k, false
	}
	n := 0
	for i := 0; i < 36; i++ {
		c := id[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			continue
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return k, false
		}
		k[n/2] = k[n/2]<<4 | c
		n++
	}
	return k, true
}

// Size is an upper estimate of the bytes that the person takes as JSON.
func Size(p *Person) int {
	n := 512 // names, punctuation and the record's own fields
	add := func(s string) {
		n += 3
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c < ' ' || c == '"' || c == '\\' || c == 0x7f:
				n += 6 // escaped
			case c >= 0x80:
				n += 2 // U+2028 and U+2029 are escaped, and take three bytes to six
			default:
				n++
			}
		}
	}
	for _, prop := range properties {
		switch v := prop.at(p).(type) {
		case *string:
			add(*v)
		case *[]string:
			for _, s := range *v {
				add(s)
			}
		}
	}
	return n
}
