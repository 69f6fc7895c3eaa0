// Package directory is what a tenant holds, and the pure functions that
// compare what is stored with what Microsoft says.
//
// Absence is no proof: nothing in this package turns a missing person into a
// removed one.
package directory

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

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

// property is one synced property: its name in Graph and in our API, as it
// begins in JSON, and where its value is in a Person.
type property struct {
	name string
	kind kind
	at   uintptr
}

// kind is the type of a property.
type kind byte

const (
	text kind = iota // string
	list             // []string
	flag             // *bool
)

// properties is their only list, in canonical order: fingerprints depend on
// it, so new ones go to the end. They are found by offset, because people are
// hashed, compared and written by the million: a call per value would cost
// more than the value, and reflection a multiple. A test holds kinds and
// offsets against the fields of Person.
var properties = [...]property{
	{`,"mail":`, text, unsafe.Offsetof(Person{}.Mail)},
	{`,"otherMails":`, list, unsafe.Offsetof(Person{}.OtherMails)},
	{`,"proxyAddresses":`, list, unsafe.Offsetof(Person{}.ProxyAddresses)},
	{`,"userPrincipalName":`, text, unsafe.Offsetof(Person{}.UserPrincipalName)},
	{`,"displayName":`, text, unsafe.Offsetof(Person{}.DisplayName)},
	{`,"givenName":`, text, unsafe.Offsetof(Person{}.GivenName)},
	{`,"surname":`, text, unsafe.Offsetof(Person{}.Surname)},
	{`,"businessPhones":`, list, unsafe.Offsetof(Person{}.BusinessPhones)},
	{`,"mobilePhone":`, text, unsafe.Offsetof(Person{}.MobilePhone)},
	{`,"preferredLanguage":`, text, unsafe.Offsetof(Person{}.PreferredLanguage)},
	{`,"accountEnabled":`, flag, unsafe.Offsetof(Person{}.AccountEnabled)},
	{`,"userType":`, text, unsafe.Offsetof(Person{}.UserType)},
	{`,"jobTitle":`, text, unsafe.Offsetof(Person{}.JobTitle)},
	{`,"department":`, text, unsafe.Offsetof(Person{}.Department)},
	{`,"officeLocation":`, text, unsafe.Offsetof(Person{}.OfficeLocation)},
	{`,"employeeId":`, text, unsafe.Offsetof(Person{}.EmployeeID)},
	{`,"employeeHireDate":`, text, unsafe.Offsetof(Person{}.EmployeeHireDate)},
	{`,"assignedLicenses":`, list, unsafe.Offsetof(Person{}.AssignedLicenses)},
	{`,"manager":`, text, unsafe.Offsetof(Person{}.Manager)},
}

func (f *property) text(p *Person) string    { return *(*string)(unsafe.Add(unsafe.Pointer(p), f.at)) }
func (f *property) list(p *Person) *[]string { return (*[]string)(unsafe.Add(unsafe.Pointer(p), f.at)) }
func (f *property) flag(p *Person) *bool     { return *(**bool)(unsafe.Add(unsafe.Pointer(p), f.at)) }

// empty reports whether Microsoft holds no value.
func (f *property) empty(p *Person) bool {
	switch f.kind {
	case text:
		return f.text(p) == ""
	case list:
		return len(*f.list(p)) == 0
	default:
		return f.flag(p) == nil
	}
}

// append appends the value as JSON, null if it is empty.
func (f *property) append(b []byte, p *Person) []byte {
	switch {
	case f.empty(p):
		return append(b, "null"...)
	case f.kind == text:
		return appendString(b, f.text(p))
	case f.kind == list:
		return appendStrings(b, *f.list(p))
	default:
		return strconv.AppendBool(b, *f.flag(p))
	}
}

// size is about how many bytes append takes, and no less if nothing has to be
// escaped.
func (f *property) size(p *Person) (n int) {
	switch f.kind {
	case text:
		n = len(f.text(p)) + len(`""`)
	case list:
		for _, s := range *f.list(p) {
			n += len(s) + len(`"",`)
		}
		n++ // a bracket; the other stands for a comma
	}
	return max(n, len("false"))
}

// equal compares the values of two people.
func (f *property) equal(p, q *Person) bool {
	switch f.kind {
	case text:
		return f.text(p) == f.text(q)
	case list:
		return slices.Equal(*f.list(p), *f.list(q))
	default:
		a, b := f.flag(p), f.flag(q)
		return a == b || a != nil && b != nil && *a == *b
	}
}

// Properties returns the names of the synced properties in canonical order,
// without id.
func Properties() []string {
	names := make([]string, len(properties))
	for i := range properties {
		names[i] = strings.Trim(properties[i].name, `,":`)
	}
	return names
}

// Canonical sorts the lists and drops their repeats and empty strings, so
// that equal people compare equal however Graph ordered them.
func (p *Person) Canonical() {
	for i := range properties {
		f := &properties[i]
		if f.kind != list || f.empty(p) {
			continue
		}
		l := f.list(p)
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

// Fingerprint is a hash of the synced properties in canonical order. Two
// people with the same fingerprint have the same values; an empty value and a
// missing one are the same.
func (p *Person) Fingerprint() uint64 {
	var few [1536]byte // enough for most people; others cost an allocation
	b := few[:0]
	for i := range properties {
		f, mark := &properties[i], byte(i+1)
		switch f.kind {
		case text:
			if s := f.text(p); s != "" {
				b = appendCounted(append(b, mark), s)
			}
		case list:
			if l := *f.list(p); len(l) > 0 {
				b = binary.AppendUvarint(append(b, mark), uint64(len(l)))
				for _, s := range l {
					b = appendCounted(b, s)
				}
			}
		case flag:
			if v := f.flag(p); v != nil && *v {
				b = append(b, mark, 1)
			} else if v != nil {
				b = append(b, mark, 0)
			}
		}
	}
	return xxhash.Sum64(b)
}

// appendCounted appends a string behind its length.
func appendCounted(b []byte, s string) []byte {
	if len(s) < 0x80 { // as the varint is then
		return append(append(b, byte(len(s))), s...)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Difference returns the properties in which next differs from prior, with
// next's values; null stands for a cleared one. It is nil if they agree.
func Difference(prior, next *Person) Set { return new(Differ).difference(prior, next) }

// Differ compares many people. The sets that it returns share its memory, and
// are good until it is reset. The zero value is ready to use.
type Differ struct{ sets []byte }

// Reset gives the memory of all sets so far to those to come.
func (d *Differ) Reset() { d.sets = d.sets[:0] }

func (d *Differ) difference(prior, next *Person) Set {
	var differ uint64 // a bit for each property
	n := 1            // bytes of the set if nothing is escaped, or a few more
	for i := range properties {
		if f := &properties[i]; !f.equal(prior, next) {
			differ |= 1 << i
			n += len(f.name) + f.size(next)
		}
	}
	if differ == 0 {
		return nil
	}
	from := len(d.sets)
	if cap(d.sets)-from < n { // those before keep the memory that they have
		d.sets, from = make([]byte, 0, max(n, 2*cap(d.sets))), 0
	}
	set := Set(d.sets[from:])
	for ; differ != 0; differ &= differ - 1 {
		f := &properties[bits.TrailingZeros64(differ)]
		set = f.append(append(set, f.name...), next)
	}
	set[0] = '{'
	set = append(set, '}')
	if from+len(set) <= cap(d.sets) { // else it has grown out of it
		d.sets = d.sets[:from+len(set)]
	}
	return set[:len(set):len(set)]
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
	bad := byte(0)
	for i, at := range pairsAt {
		high, low := hexDigit[id[at]], hexDigit[id[at+1]]
		bad |= high | low
		k[i] = high<<4 | low&15
	}
	if bad > 15 {
		return [16]byte{}, false
	}
	return k, true
}

// pairsAt is where the digits of each byte are in a GUID.
var pairsAt = [16]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// hexDigit is the value of a lower-case digit, and above 15 of all else.
var hexDigit = func() (t [256]byte) {
	for c := range t {
		t[c] = 16
	}
	for v := range 16 {
		t["0123456789abcdef"[v]] = byte(v)
	}
	return t
}()

// Size is an upper estimate of the bytes that the person takes as JSON.
func Size(p *Person) int {
	const (
		few   = 512 // names, punctuation and the record's own fields
		small = 4 << 10
		worst = 6 // bytes that one may become
	)
	n := few + worst*len(p.ID)
	for i := range properties {
		switch f := &properties[i]; f.kind {
		case text:
			n += worst * (len(f.text(p)) + 1)
		case list:
			for _, s := range *f.list(p) {
				n += worst * (len(s) + 1)
			}
		}
	}
	if n <= small { // no need to look closely
		return n
	}
	n = few
	for i := range properties {
		switch f := &properties[i]; f.kind {
		case text:
			n += stringSize(f.text(p))
		case list:
			for _, s := range *f.list(p) {
				n += stringSize(s)
			}
		}
	}
	return n
}

// stringSize is an upper estimate of what [appendString] appends, and a comma.
func stringSize(s string) int {
	n := len(s) + len(`"",`)
	if isPlain(s) {
		return n
	}
	if !utf8.ValidString(s) {
		return n + 5*len(s) // six for each byte that is no UTF-8
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == '"' || c == '\\' || c == 0x7f:
			n += 5 // escaped
		case c >= 0x80:
			n++ // U+2028 and U+2029 are escaped, and take three bytes to six
		}
	}
	return n
}
