// Package crowd makes the people and groups that both sides of a benchmark
// read, and says whether two sides have understood the same.
//
// Person i of a seed is always the same, whoever asks: what a side returns is
// compared with it, never with another side's answer alone.
package crowd

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Person is a user with the properties that are synced, in Graph's words.
type Person struct {
	ID, Mail, UserPrincipalName, DisplayName, GivenName, Surname, MobilePhone, PreferredLanguage,
	UserType, JobTitle, Department, OfficeLocation, EmployeeID, EmployeeHireDate, Manager string
	OtherMails, ProxyAddresses, BusinessPhones, AssignedLicenses []string
	AccountEnabled                                               bool
}

// Columns calls each with every single-valued property but the ID, and the
// lists joined by commas: what a table's columns hold.
func (p *Person) Columns(each func(name, value string)) {
	each("mail", p.Mail)
	each("otherMails", strings.Join(p.OtherMails, ","))
	each("proxyAddresses", strings.Join(p.ProxyAddresses, ","))
	each("userPrincipalName", p.UserPrincipalName)
	each("displayName", p.DisplayName)
	each("givenName", p.GivenName)
	each("surname", p.Surname)
	each("businessPhones", strings.Join(p.BusinessPhones, ","))
	each("mobilePhone", p.MobilePhone)
	each("preferredLanguage", p.PreferredLanguage)
	each("accountEnabled", strconv.FormatBool(p.AccountEnabled))
	each("userType", p.UserType)
	each("jobTitle", p.JobTitle)
	each("department", p.Department)
	each("officeLocation", p.OfficeLocation)
	each("employeeId", p.EmployeeID)
	each("employeeHireDate", p.EmployeeHireDate)
	each("assignedLicenses", strings.Join(p.AssignedLicenses, ","))
	each("manager", p.Manager)
}

// Digest is of all properties, the lists as sets. The sum over a directory
// does not depend on its order.
func (p *Person) Digest() uint64 {
	for _, l := range [][]string{p.OtherMails, p.ProxyAddresses, p.BusinessPhones, p.AssignedLicenses} {
		slices.Sort(l)
	}
	b := make([]byte, 0, 1024)
	b = append(b, p.ID...)
	p.Columns(func(_, v string) {
		b = append(b, 0)
		b = append(b, v...)
	})
	return xxhash.Sum64(b)
}

// Crowd is a made-up directory.
type Crowd struct {
	Seed   uint64
	People int
	// Even spreads the first characters of the user names evenly over
	// [Initials]; otherwise they are those of a list of given names.
	Even bool
	// Bare people come without their licences, which a connection may not want.
	Bare bool
}

// Initials are the first characters of evenly spread user names.
const Initials = "abcdefghijklmnopqrstuvwxyz012345"

// mix is splitmix64: a good hash of a counter.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// GUID is the n-th one of a seed.
func GUID(seed, n uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], mix(seed^mix(n)))
	binary.BigEndian.PutUint64(b[8:], mix(seed+mix(n+1<<40)))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[:], b[:4])
	hex.Encode(s[9:], b[4:6])
	hex.Encode(s[14:], b[6:8])
	hex.Encode(s[19:], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// At is person i as after so many edits.
func (c Crowd) At(i, edits int) Person {
	r := mix(c.Seed<<32 + uint64(i))
	pick := func(l []string) string {
		r = mix(r)
		return l[r%uint64(len(l))]
	}
	digits := func(n int) string {
		r = mix(r)
		s := strconv.FormatUint(r%1e15+1e15, 10)
		return s[len(s)-n:]
	}
	given, sur, n := pick(givenNames), pick(surnames), strconv.Itoa(i)
	user := strings.ToLower(given + "." + sur + n)
	if c.Even {
		user = Initials[i%len(Initials):][:1] + user
	}
	mail := user + "@contoso.example"
	p := Person{
		ID: GUID(c.Seed, uint64(i)), Mail: mail, UserPrincipalName: mail, DisplayName: given + " " + sur, GivenName: given, Surname: sur,
		MobilePhone: "+49 151 " + digits(7), PreferredLanguage: pick(languages), UserType: "Member",
		JobTitle: pick(titles), Department: pick(departments), OfficeLocation: pick(offices), EmployeeID: "E" + digits(6),
		EmployeeHireDate: strconv.Itoa(1994+int(mix(r)%30)) + "-0" + strconv.Itoa(1+int(r%9)) + "-1" + digits(1) + "T00:00:00Z",
		ProxyAddresses:   []string{"SMTP:" + mail, "smtp:" + user + "@contoso.onmicrosoft.example", "SIP:" + mail, "smtp:" + n + "@mail.contoso.example"},
		BusinessPhones:   []string{"+49 30 " + digits(7)},
		AccountEnabled:   i%25 != 0,
	}
	if i%3 == 0 {
		p.OtherMails = []string{user + "@home.example"}
	}
	for k := range 1 + int(mix(r+1)%2) {
		if c.Bare {
			break
		}
		p.AssignedLicenses = append(p.AssignedLicenses, skus[(int(r%uint64(len(skus)))+k)%len(skus)])
	}
	if i > 0 {
		p.Manager = GUID(c.Seed, uint64((i-1)/8))
	}
	if edits > 0 {
		p.JobTitle += " " + strconv.Itoa(edits)
	}
	return p
}

// KeyDigest is of the 16 bytes of an ID; a set's is the sum.
func KeyDigest(k [16]byte) uint64 {
	return mix(binary.BigEndian.Uint64(k[:]) ^ binary.BigEndian.Uint64(k[8:]))
}

// Keys is the sum over everybody's ID.
func (c Crowd) Keys() (sum uint64) {
	for i := range c.People {
		id := GUID(c.Seed, uint64(i))
		b, _ := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:]) // made by us
		sum += KeyDigest([16]byte(b))
	}
	return sum
}

// Digest is the sum over everybody, changed(i) times edited.
func (c Crowd) Digest(changed func(i int) int) uint64 {
	var sum uint64
	for i := range c.People {
		p := c.At(i, changed(i))
		sum += p.Digest()
	}
	return sum
}

// Unchanged is nobody edited.
func Unchanged(int) int { return 0 }
