package tenant

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// maxAliases is the most proxy addresses that a mailbox may have (documented,
// "Exchange Online limits").
const maxAliases = 400

// maxOtherMails is the most otherMails that a user may have (documented,
// "user resource type").
const maxOtherMails = 250

// span is how many people report to one manager.
const span = 8

// generate adds n people. In a new directory every other of the first people
// is one of the awkward ones, so that small directories have them too; later
// about one in fifteen is.
func (t *Tenant) generate(n int, domain string, r *rand.Rand) error {
	d := t.Directory
	d.mu.Lock()
	defer d.mu.Unlock()
	base := len(d.records)
	for k := range n {
		i := base + k
		p := ordinary(r, i, domain)
		if i > 0 && (i <= 2*span || r.IntN(33) > 0) {
			if m := d.records[(i-1)/span]; m.state == active {
				p.Manager = m.person.ID
			}
		}
		switch {
		case i%2 == 1 && i/2 < len(awkward):
			awkward[i/2](r, &p, domain)
		case r.IntN(15) == 0:
			awkward[r.IntN(repeatable)](r, &p, domain)
		}
		if err := d.insert(p); err != nil {
			return err
		}
		if i == span+2 { // a manager cycle: the first person now reports to one of its reports
			if first := d.records[0]; first.state == active && first.person.Manager == "" {
				if err := d.update(first.person.ID, Fields{"manager": p.ID}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ordinary is an employee with all that a well-kept directory says.
func ordinary(r *rand.Rand, i int, domain string) Person {
	given, sur := givenNames[r.IntN(len(givenNames))], surnames[r.IntN(len(surnames))]
	user := slug(given) + "." + slug(sur) + strconv.Itoa(i)
	mail := user + "@" + domain
	p := Person{
		ID: GUID(r), Mail: mail, UserPrincipalName: mail,
		ProxyAddresses: []string{"SMTP:" + mail, "smtp:" + strconv.Itoa(i) + "@" + domain},
		DisplayName:    given + " " + sur, GivenName: given, Surname: sur,
		BusinessPhones:    []string{phone(r)},
		PreferredLanguage: languages[r.IntN(len(languages))],
		AccountEnabled:    r.IntN(25) > 0, UserType: "Member",
		JobTitle: titles[r.IntN(len(titles))], Department: departments[r.IntN(len(departments))],
		OfficeLocation: offices[r.IntN(len(offices))],
		EmployeeID:     fmt.Sprintf("E%06d", i),
	}
	if r.IntN(2) == 0 {
		p.MobilePhone = phone(r)
	}
	if r.IntN(4) > 0 {
		hired := time.Date(1994, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(32*365))
		p.EmployeeHireDate = hired.Format(time.RFC3339)
	}
	if r.IntN(10) > 0 {
		p.AssignedLicenses = bundles[r.IntN(len(bundles))]
	}
	return p
}

// slug is the part of a name that fits into a mail address.
func slug(s string) string {
	return strings.Map(func(c rune) rune {
		if to, ok := plain[c]; ok {
			return to
		}
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		}
		return -1
	}, s)
}

// phone is a number in one of the forms that people type.
func phone(r *rand.Rand) string {
	a, b := 200+r.IntN(700), r.IntN(10000)
	switch r.IntN(6) {
	case 0:
		return fmt.Sprintf("+1 (%d) 555-%04d", a, b)
	case 1:
		return fmt.Sprintf("00%d.%d.%04d", 30+r.IntN(60), a, b)
	case 2:
		return fmt.Sprintf("tel:+49%d%04d;ext=%d", a, b, r.IntN(99))
	case 3:
		return fmt.Sprintf("%d %04d x%d", a, b, r.IntN(999))
	default:
		return fmt.Sprintf("+%d %d %04d", 30+r.IntN(60), a, b)
	}
}

// awkward turns an ordinary person into one that breaks naive code. Those
// from repeatable on occur once.
var awkward = []func(r *rand.Rand, p *Person, domain string){
	func(_ *rand.Rand, p *Person, domain string) { // apostrophe in the user name
		p.GivenName, p.Surname, p.DisplayName = "Siobhán", "O'Neil", "Siobhán O'Neil"
		p.UserPrincipalName = "siobhan.o'neil" + p.EmployeeID + "@" + domain
		p.Mail = p.UserPrincipalName
		p.ProxyAddresses = []string{"SMTP:" + p.Mail}
	},
	func(_ *rand.Rand, p *Person, _ string) { // account without access: no mailbox
		p.Mail, p.ProxyAddresses, p.AssignedLicenses = "", nil, nil
	},
	func(_ *rand.Rand, p *Person, domain string) { // guest
		home := slug(p.GivenName) + "." + p.EmployeeID
		p.UserPrincipalName = home + "_partner.example#EXT#@" + domain
		p.Mail, p.OtherMails = home+"@partner.example", []string{home + "@partner.example"}
		p.UserType, p.EmployeeID, p.EmployeeHireDate, p.AssignedLicenses = "Guest", "", "", nil
	},
	func(_ *rand.Rand, p *Person, _ string) { // room: almost nothing is set
		*p = Person{ID: p.ID, DisplayName: "Conf Room Adams", UserPrincipalName: "room-" + p.UserPrincipalName,
			Mail: "room-" + p.Mail, UserType: "Member"}
	},
	func(_ *rand.Rand, p *Person, _ string) { // shared mailbox
		*p = Person{ID: p.ID, DisplayName: "Billing (shared)", UserPrincipalName: "billing-" + p.UserPrincipalName,
			Mail: "billing-" + p.Mail, UserType: "Member", ProxyAddresses: []string{"SMTP:billing-" + p.Mail}}
	},
	func(_ *rand.Rand, p *Person, _ string) { p.DisplayName = "Nina 🦊 Fuchs 👩‍👩‍👧 " },
	func(_ *rand.Rand, p *Person, _ string) {
		p.GivenName, p.Surname, p.DisplayName = "أحمد", "الهاشمي", "أحمد الهاشمي"
		p.PreferredLanguage = "ar-SA"
	},
	func(_ *rand.Rand, p *Person, _ string) { // both directions, and controls that reverse text
		p.DisplayName, p.JobTitle = "דנה \u202eCohen\u202c", "R&D מנהלת"
	},
	func(_ *rand.Rand, p *Person, _ string) {
		p.DisplayName = strings.Repeat("Wolfeschlegelsteinhausen", 10)
	},
	func(_ *rand.Rand, p *Person, _ string) {
		p.DisplayName, p.Department = `<script>alert("rollcall")</script>`, `"><img src=x onerror=alert(1)>`
	},
	func(_ *rand.Rand, p *Person, _ string) {
		p.DisplayName, p.JobTitle, p.OfficeLocation = `=HYPERLINK("http://evil.example","x")`, "+cmd|' /C calc'!A0", "@SUM(1+1)"
	},
	func(_ *rand.Rand, p *Person, _ string) { p.AccountEnabled = false },
	func(_ *rand.Rand, p *Person, _ string) {
		p.GivenName, p.Surname, p.DisplayName = "Anna", "Schmidt", "Anna Schmidt"
	},
	func(_ *rand.Rand, p *Person, _ string) {
		p.GivenName, p.Surname, p.DisplayName = "Anna", "Schmidt", "Anna Schmidt"
	},
	func(_ *rand.Rand, p *Person, _ string) { p.Manager = "" },
	func(_ *rand.Rand, p *Person, _ string) { // decomposed accents, composed elsewhere
		p.GivenName, p.Surname, p.DisplayName = "Zoe\u0308", "Nu\u0301n\u0303ez", "Zoe\u0308 Nu\u0301n\u0303ez"
	},
	func(_ *rand.Rand, p *Person, _ string) { // no family name; hired before computers, phones by hand
		p.Surname, p.DisplayName, p.EmployeeHireDate = "", p.GivenName, "1968-02-29T00:00:00Z"
		p.BusinessPhones, p.MobilePhone = []string{"(0) 20 – 7946 0018 / ask Mary"}, "０３-１２３４"
	},
	func(_ *rand.Rand, p *Person, _ string) { p.AssignedLicenses = everySKU },
	func(_ *rand.Rand, p *Person, _ string) {
		p.JobTitle, p.Department, p.OfficeLocation = "Head of\tQA\n\"Berlin\", EMEA", ` \ / | `, " 18/2111 "
	},
	func(_ *rand.Rand, p *Person, domain string) { // the most that Entra and Exchange allow
		p.OtherMails, p.ProxyAddresses = nil, []string{"SMTP:" + p.Mail}
		for i := range maxOtherMails {
			p.OtherMails = append(p.OtherMails, fmt.Sprintf("%s.private-address-%03d@mail.partner.example", slug(p.Surname), i))
		}
		for i := 1; i < maxAliases; i++ {
			p.ProxyAddresses = append(p.ProxyAddresses, fmt.Sprintf("smtp:%s.alias-%03d@%s", slug(p.Surname), i, domain))
		}
	},
}

// repeatable is how many kinds of awkward people may occur more than once.
var repeatable = len(awkward) - 1
