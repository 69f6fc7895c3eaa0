package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// License is one assigned SKU of a person, with the service plans that are
// switched off in it.
type License struct {
	SkuID         string   `json:"skuId"`
	DisabledPlans []string `json:"disabledPlans"`
}

// Person is a user account as Graph shows it. An empty string or slice stands
// for a value that is not set. The slices of a Person that this package hands
// out are shared and must not be written to.
type Person struct {
	ID                string    `json:"id"`
	Mail              string    `json:"mail"`
	OtherMails        []string  `json:"otherMails"`
	ProxyAddresses    []string  `json:"proxyAddresses"`
	UserPrincipalName string    `json:"userPrincipalName"`
	DisplayName       string    `json:"displayName"`
	GivenName         string    `json:"givenName"`
	Surname           string    `json:"surname"`
	BusinessPhones    []string  `json:"businessPhones"`
	MobilePhone       string    `json:"mobilePhone"`
	PreferredLanguage string    `json:"preferredLanguage"`
	AccountEnabled    bool      `json:"accountEnabled"`
	UserType          string    `json:"userType"`
	JobTitle          string    `json:"jobTitle"`
	Department        string    `json:"department"`
	OfficeLocation    string    `json:"officeLocation"`
	EmployeeID        string    `json:"employeeId"`
	EmployeeHireDate  string    `json:"employeeHireDate"` // RFC 3339, UTC
	AssignedLicenses  []License `json:"assignedLicenses"`
	Manager           string    `json:"manager"` // the manager's ID
}

// Fields are new values by Graph property name. A nil or empty value clears a
// property; a property that is not named stays.
type Fields map[string]any

// ErrInvalid is wrapped by every refusal of a value.
var ErrInvalid = errors.New("invalid")

// maxField bounds one text value in bytes; Entra's longest string attribute
// in the set is far shorter, so a longer one can only be a mistake.
const maxField = 1024

// maxList bounds the elements of a collection, a little above the most that
// Exchange Online and Entra allow (400 aliases, 250 otherMails).
const maxList = 512

// set stores the raw JSON value of one property in p. The manager is resolved
// by the directory, not here.
func (pr *property) set(p *Person, raw json.RawMessage) error {
	isNull := bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
	switch {
	case pr.text != nil:
		var s string
		if err := decode(raw, &s); err != nil {
			return fmt.Errorf("%s: %w: want a string or null", pr.name, ErrInvalid)
		}
		if len(s) > maxField {
			return fmt.Errorf("%s: %w: %d bytes, at most %d", pr.name, ErrInvalid, len(s), maxField)
		}
		if pr.bit == PropEmployeeHireDate && s != "" {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return fmt.Errorf("%s: %w: want RFC 3339", pr.name, ErrInvalid)
			}
			s = t.UTC().Format(time.RFC3339)
		}
		*pr.text(p) = s
	case pr.list != nil:
		var l []string
		if err := decode(raw, &l); err != nil {
			return fmt.Errorf("%s: %w: want an array of strings or null", pr.name, ErrInvalid)
		}
		if len(l) > maxList || slices.ContainsFunc(l, func(s string) bool { return len(s) > maxField }) {
			return fmt.Errorf("%s: %w: at most %d values of %d bytes", pr.name, ErrInvalid, maxList, maxField)
		}
		*pr.list(p) = l
	case pr.bit == PropAccountEnabled:
		var b bool
		if err := decode(raw, &b); err != nil || isNull {
			return fmt.Errorf("%s: %w: want true or false", pr.name, ErrInvalid)
		}
		p.AccountEnabled = b
	case pr.bit == PropAssignedLicenses:
		var l []License
		if err := strict(raw, &l); err != nil {
			return fmt.Errorf("%s: %w: want an array of {skuId, disabledPlans} or null", pr.name, ErrInvalid)
		}
		for i := range l {
			if len(l[i].DisabledPlans) > maxList {
				return fmt.Errorf("%s: %w: at most %d disabled plans", pr.name, ErrInvalid, maxList)
			}
			if l[i].DisabledPlans == nil {
				l[i].DisabledPlans = []string{}
			}
		}
		if len(l) > maxList {
			return fmt.Errorf("%s: %w: at most %d licenses", pr.name, ErrInvalid, maxList)
		}
		p.AssignedLicenses = l
	default:
		return fmt.Errorf("%s: %w: cannot be set", pr.name, ErrInvalid)
	}
	return nil
}

// decode reads a value without objects.
func decode(raw json.RawMessage, v any) error { return json.Unmarshal(raw, v) }

// strict refuses what json.Unmarshal lets through: unknown members.
func strict(raw json.RawMessage, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// equal says whether the property is the same in both.
func (pr *property) equal(a, b *Person) bool {
	switch {
	case pr.text != nil:
		return *pr.text(a) == *pr.text(b)
	case pr.list != nil:
		return slices.Equal(*pr.list(a), *pr.list(b))
	case pr.bit == PropAccountEnabled:
		return a.AccountEnabled == b.AccountEnabled
	case pr.bit == PropAssignedLicenses:
		return slices.EqualFunc(a.AssignedLicenses, b.AssignedLicenses, func(x, y License) bool {
			return x.SkuID == y.SkuID && slices.Equal(x.DisabledPlans, y.DisabledPlans)
		})
	case pr.bit == PropManager:
		return a.Manager == b.Manager
	}
	return a.ID == b.ID
}

// empty says whether the property holds nothing, which in a new account means
// that it was never set. An account is always enabled or not.
func (pr *property) empty(p *Person) bool {
	switch {
	case pr.text != nil:
		return *pr.text(p) == ""
	case pr.list != nil:
		return len(*pr.list(p)) == 0
	case pr.bit == PropAssignedLicenses:
		return len(p.AssignedLicenses) == 0
	case pr.bit == PropManager:
		return p.Manager == ""
	}
	return false
}

// AppendJSON appends the members of show, without the braces and without the
// manager, in a fixed order. A cleared text is null and a cleared collection
// [], as Graph shows them.
func (p *Person) AppendJSON(dst []byte, show Props) []byte {
	comma := false
	for i := range properties {
		pr := &properties[i]
		if show&pr.bit == 0 || pr.bit == PropManager {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, '"')
		dst = append(dst, pr.name...)
		dst = append(dst, '"', ':')
		dst = pr.appendValue(dst, p)
	}
	return dst
}

func (pr *property) appendValue(dst []byte, p *Person) []byte {
	switch {
	case pr.text != nil:
		if s := *pr.text(p); s != "" {
			return appendString(dst, s)
		}
		return append(dst, "null"...)
	case pr.list != nil:
		return appendStrings(dst, *pr.list(p))
	case pr.bit == PropAccountEnabled:
		if p.AccountEnabled {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case pr.bit == PropAssignedLicenses:
		dst = append(dst, '[')
		for i := range p.AssignedLicenses {
			l := &p.AssignedLicenses[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(append(dst, `{"skuId":`...), l.SkuID)
			dst = append(appendStrings(append(dst, `,"disabledPlans":`...), l.DisabledPlans), '}')
		}
		return append(dst, ']')
	}
	return appendString(dst, p.ID)
}

func appendStrings(dst []byte, l []string) []byte {
	dst = append(dst, '[')
	for i, s := range l {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendString quotes s as JSON. Nearly every value is plain ASCII, which
// needs no escape.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return appendEscaped(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string always marshals
		return append(dst, `""`...)
	}
	return append(dst, b...)
}
