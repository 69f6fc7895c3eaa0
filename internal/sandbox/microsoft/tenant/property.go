package tenant

import (
	"fmt"
	"math/bits"
	"strings"
)

// Props is a set of user properties.
type Props uint32

// The properties of a user that the stand-in's main store holds, which are
// the ones that a delta can track.
const (
	PropID Props = 1 << iota
	PropMail
	PropOtherMails
	PropProxyAddresses
	PropUserPrincipalName
	PropDisplayName
	PropGivenName
	PropSurname
	PropBusinessPhones
	PropMobilePhone
	PropPreferredLanguage
	PropAccountEnabled
	PropUserType
	PropJobTitle
	PropDepartment
	PropOfficeLocation
	PropEmployeeID
	PropEmployeeHireDate
	PropAssignedLicenses
	PropManager

	// PropAll is every property.
	PropAll Props = 1<<iota - 1

	// PropDefault is what Graph returns without $select (documented,
	// "user resource type").
	PropDefault = PropID | PropBusinessPhones | PropDisplayName | PropGivenName | PropJobTitle | PropMail |
		PropMobilePhone | PropOfficeLocation | PropPreferredLanguage | PropSurname | PropUserPrincipalName
)

// propCount is the number of single properties.
const propCount = 20

// property describes one user property; text or list is nil where the value
// has another type.
type property struct {
	name string
	bit  Props
	text func(*Person) *string
	list func(*Person) *[]string
}

// properties are in the order of their bits.
var properties = [propCount]property{
	{name: "id", bit: PropID},
	{name: "mail", bit: PropMail, text: func(p *Person) *string { return &p.Mail }},
	{name: "otherMails", bit: PropOtherMails, list: func(p *Person) *[]string { return &p.OtherMails }},
	{name: "proxyAddresses", bit: PropProxyAddresses, list: func(p *Person) *[]string { return &p.ProxyAddresses }},
	{name: "userPrincipalName", bit: PropUserPrincipalName, text: func(p *Person) *string { return &p.UserPrincipalName }},
	{name: "displayName", bit: PropDisplayName, text: func(p *Person) *string { return &p.DisplayName }},
	{name: "givenName", bit: PropGivenName, text: func(p *Person) *string { return &p.GivenName }},
	{name: "surname", bit: PropSurname, text: func(p *Person) *string { return &p.Surname }},
	{name: "businessPhones", bit: PropBusinessPhones, list: func(p *Person) *[]string { return &p.BusinessPhones }},
	{name: "mobilePhone", bit: PropMobilePhone, text: func(p *Person) *string { return &p.MobilePhone }},
	{name: "preferredLanguage", bit: PropPreferredLanguage, text: func(p *Person) *string { return &p.PreferredLanguage }},
	{name: "accountEnabled", bit: PropAccountEnabled},
	{name: "userType", bit: PropUserType, text: func(p *Person) *string { return &p.UserType }},
	{name: "jobTitle", bit: PropJobTitle, text: func(p *Person) *string { return &p.JobTitle }},
	{name: "department", bit: PropDepartment, text: func(p *Person) *string { return &p.Department }},
	{name: "officeLocation", bit: PropOfficeLocation, text: func(p *Person) *string { return &p.OfficeLocation }},
	{name: "employeeId", bit: PropEmployeeID, text: func(p *Person) *string { return &p.EmployeeID }},
	{name: "employeeHireDate", bit: PropEmployeeHireDate, text: func(p *Person) *string { return &p.EmployeeHireDate }},
	{name: "assignedLicenses", bit: PropAssignedLicenses},
	{name: "manager", bit: PropManager},
}

// byName maps lower-case names: Graph takes property names in any case.
var byName = func() map[string]*property {
	m := make(map[string]*property, propCount)
	for i := range properties {
		m[strings.ToLower(properties[i].name)] = &properties[i]
	}
	return m
}()

// elsewhere are user properties that live outside the main store, so that a
// list or delta that selects one is answered 501 (documented, "Use delta query
// to track changes").
var elsewhere = map[string]bool{
	"aboutme": true, "birthday": true, "hiredate": true, "interests": true, "mysite": true, "pastprojects": true,
	"preferredname": true, "responsibilities": true, "schools": true, "skills": true, "mailboxsettings": true,
}

// NotTracked is the refusal of a property that is real but lives outside the
// directory's main store.
type NotTracked struct{ Name string }

func (e NotTracked) Error() string {
	return fmt.Sprintf("property %q is not in the main store", e.Name)
}

// Prop finds a property by its Graph name. The error is [NotTracked] for a
// property outside the main store.
func Prop(name string) (Props, error) {
	low := strings.ToLower(name)
	if pr := byName[low]; pr != nil {
		return pr.bit, nil
	}
	if elsewhere[low] {
		return 0, NotTracked{Name: name}
	}
	return 0, fmt.Errorf("property %q: %w: not a property of user", name, ErrInvalid)
}

// Names lists the properties of s in their fixed order.
func (s Props) Names() []string {
	var names []string
	for i := range properties {
		if s&properties[i].bit != 0 {
			names = append(names, properties[i].name)
		}
	}
	return names
}

// Text returns the value of a text property, for filters; ok is false if bit
// is no text property.
func (p *Person) Text(bit Props) (s string, ok bool) {
	if bit == PropID {
		return p.ID, true
	}
	if i := bits.TrailingZeros32(uint32(bit)); i < propCount && properties[i].bit == bit && properties[i].text != nil {
		return *properties[i].text(p), true
	}
	return "", false
}
