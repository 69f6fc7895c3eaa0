package directory

import (
	"strings"
	"testing"
	"time"
)

// clerk has all properties, in about 1 kB of JSON.
func clerk() *Record {
	yes := true
	guid := "11111111-2222-4333-8444-55555555555"
	mail := "zoe.van-der-berg@contoso-manufacturing.example"
	return &Record{
		Person: Person{
			ID: guid + "0", Mail: mail, OtherMails: []string{"zoe@home.example"}, UserPrincipalName: mail,
			ProxyAddresses: []string{"SMTP:" + mail, "smtp:zoe@contoso.example", "smtp:zoe@contoso.onmicrosoft.example"},
			DisplayName:    "Zoë van der Berg", GivenName: "Zoë", Surname: "van der Berg",
			BusinessPhones: []string{"+31 20 555 0101"}, MobilePhone: "+31 6 5550 0101", PreferredLanguage: "nl-NL",
			AccountEnabled: &yes, UserType: "Member", JobTitle: "Senior Manager, Accounts & Ledgers", Department: "Finance and Control",
			OfficeLocation: "Amsterdam, " + strings.Repeat("Floor ", 4) + "12", EmployeeID: "E-0012345", EmployeeHireDate: "2019-04-01T00:00:00Z",
			AssignedLicenses: []string{guid + "1", guid + "2", guid + "3"}, Manager: guid + "4",
		},
		Life: Life{Created: time.Date(2026, 11, 20, 6, 0, 0, 123456789, time.UTC), Changed: 123456},
	}
}

var (
	sink uint64
	out  []byte
)

func BenchmarkFingerprint(b *testing.B) {
	r := clerk()
	b.ReportAllocs()
	for b.Loop() {
		sink += r.Fingerprint()
	}
}

func BenchmarkRecordAppendJSON(b *testing.B) {
	r := clerk()
	out = make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out = r.AppendJSON(out[:0])
	}
	b.SetBytes(int64(len(out)))
}

func BenchmarkChangeAppendJSON(b *testing.B) {
	c := Compare(nil, clerk())
	out = make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out = c.AppendJSON(out[:0])
	}
}

func BenchmarkDifferenceFromNothing(b *testing.B) {
	r := clerk()
	b.ReportAllocs()
	for b.Loop() {
		out = Difference(&nobody, &r.Person)
	}
}

func BenchmarkDifferenceOfOne(b *testing.B) {
	r, s := clerk(), clerk()
	s.JobTitle = "Director"
	b.ReportAllocs()
	for b.Loop() {
		out = Difference(&r.Person, &s.Person)
	}
}

func BenchmarkCompareEqual(b *testing.B) {
	r, s := clerk(), clerk()
	b.ReportAllocs()
	for b.Loop() {
		if Compare(r, s) != nil {
			b.Fatal("differ")
		}
	}
}

func BenchmarkSize(b *testing.B) {
	r := clerk()
	b.ReportAllocs()
	for b.Loop() {
		sink += uint64(Size(&r.Person))
	}
}

func BenchmarkSetGet(b *testing.B) {
	set := Difference(&nobody, &clerk().Person)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := set.Get("jobTitle"); !ok {
			b.Fatal("no title")
		}
	}
}

func BenchmarkPositionID(b *testing.B) {
	title := clerk().JobTitle
	b.ReportAllocs()
	for b.Loop() {
		sink += uint64(len(PositionID(title)))
	}
}
