package directory

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// License is a subscription of the tenant.
type License struct {
	// ID is the SKU's ID, a lower-case GUID, as in a person's assignedLicenses.
	ID         string `json:"id"`
	PartNumber string `json:"partNumber,omitempty"` // such as ENTERPRISEPACK
	Status     string `json:"status,omitempty"`     // Enabled, Warning, Suspended, Deleted or LockedOut
	// Total is how many may be assigned, Consumed how many are.
	Total    int `json:"total"`
	Consumed int `json:"consumed"`
}

// Available is how many more people can be given the licence.
func (l *License) Available() int { return max(l.Total-l.Consumed, 0) }

// LicenseRecord is a licence as stored.
type LicenseRecord struct {
	License
	Life
}

// Mailbox is a mailbox as Microsoft's usage report has it. Sizes are in bytes,
// dates as Microsoft writes them: 2026-11-20.
type Mailbox struct {
	// ID is made of the user principal name, which is all that the report
	// tells of the owner: see [MailboxID].
	ID                string `json:"id"`
	UserPrincipalName string `json:"userPrincipalName"`
	// Purpose is user, linked, shared, room, equipment or others; empty if it
	// is not known.
	Purpose      string `json:"purpose,omitempty"`
	CreatedDate  string `json:"createdDate,omitempty"`
	LastActivity string `json:"lastActivityDate,omitempty"`
	Items        int64  `json:"itemCount"`
	Size         int64  `json:"storageUsed"`
	Quota        int64  `json:"quota,omitempty"` // above it nothing can be sent or received
	HasArchive   bool   `json:"hasArchive,omitempty"`
}

// MailboxRecord is a mailbox as stored.
type MailboxRecord struct {
	Mailbox
	Life
	// Asked is the date of the report with which the purpose was last asked for.
	Asked string `json:"asked,omitempty"`
}

// MailboxID is a GUID made of a user principal name, in whatever case.
func MailboxID(upn string) string {
	sum := sha256.Sum256([]byte("mailbox\x00" + cases.Fold().String(upn)))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Position is a job title with the number of active people who hold it.
type Position struct {
	ID     string `json:"id"` // see [PositionID]
	Title  string `json:"title"`
	People int    `json:"people"`
}

// PositionRecord is a position as stored.
type PositionRecord struct {
	Position
	Life
	// Through is the number of the last change that People counts.
	Through int64 `json:"through"`
}

// maxTitle bounds a title in bytes, far above Microsoft's 128 characters.
const maxTitle = 1 << 10

// Title is a job title as people write it, without needless space.
func Title(jobTitle string) string {
	t := strings.Join(strings.Fields(norm.NFKC.String(jobTitle)), " ")
	if len(t) > maxTitle {
		t = strings.ToValidUTF8(t[:maxTitle], "")
	}
	return t
}

// PositionID names the position of a job title: titles that differ only in
// case, space or the way a letter is encoded are the same position. It is
// empty for no title.
func PositionID(jobTitle string) string {
	var buf [128]byte
	t, ok := foldASCII(buf[:0], jobTitle)
	if !ok {
		t = []byte(cases.Fold().String(Title(jobTitle)))
	}
	if len(t) == 0 {
		return ""
	}
	sum := sha256.Sum256(t)
	var id [20]byte
	hex.Encode(id[:], sum[:10])
	return string(id[:])
}

// foldASCII appends a title of at most 128 bytes that is ASCII without needless
// space, as almost all are, in lower case: other normalizing leaves it as it
// is. It reports false for any other.
func foldASCII(b []byte, jobTitle string) ([]byte, bool) {
	if len(jobTitle) > 128 {
		return b, false
	}
	last := byte(' ')
	for i := range len(jobTitle) {
		c := jobTitle[i]
		if c < ' ' || c > '~' || c == ' ' && last == ' ' {
			return b, false
		}
		last = c
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b, len(b) == 0 || last != ' '
}

// CompareLicenses is like [CompareTeams].
func CompareLicenses(prior, next *LicenseRecord) *Change {
	var before License
	c := lifeChange(LicenseCreated, LicenseUpdated, LicenseArchived, LicenseReactivated, lifeOf(prior), &next.Life)
	if prior != nil {
		before = prior.License
	}
	if c.Type == LicenseUpdated && before == next.License {
		return nil
	}
	c.ID = next.ID
	c.diff("partNumber", before.PartNumber, next.PartNumber)
	c.diff("status", before.Status, next.Status)
	c.diffNum("total", prior == nil, int64(before.Total), int64(next.Total))
	c.diffNum("consumed", prior == nil, int64(before.Consumed), int64(next.Consumed))
	return c
}

// CompareMailboxes is like [CompareTeams].
func CompareMailboxes(prior, next *MailboxRecord) *Change {
	var before Mailbox
	var life *Life
	if prior != nil {
		before, life = prior.Mailbox, &prior.Life
	}
	c := lifeChange(MailboxCreated, MailboxUpdated, MailboxArchived, MailboxReactivated, life, &next.Life)
	if c.Type == MailboxUpdated && before == next.Mailbox {
		return nil
	}
	c.ID = next.ID
	c.diff("userPrincipalName", before.UserPrincipalName, next.UserPrincipalName)
	c.diff("purpose", before.Purpose, next.Purpose)
	c.diff("createdDate", before.CreatedDate, next.CreatedDate)
	c.diff("lastActivityDate", before.LastActivity, next.LastActivity)
	c.diffNum("itemCount", prior == nil, before.Items, next.Items)
	c.diffNum("storageUsed", prior == nil, before.Size, next.Size)
	c.diffNum("quota", prior == nil, before.Quota, next.Quota)
	if before.HasArchive != next.HasArchive {
		c.Set = c.Set.flag("hasArchive", next.HasArchive)
	}
	return c
}

func lifeOf(r *LicenseRecord) *Life {
	if r == nil {
		return nil
	}
	return &r.Life
}

// lifeChange is the type of change, and its reason.
func lifeChange(created, updated, archived, reactivated Type, prior, next *Life) *Change {
	switch {
	case prior == nil:
		return &Change{Type: created}
	case prior.Active() && !next.Active():
		return &Change{Type: archived, Reason: next.Reason}
	case !prior.Active() && next.Active():
		return &Change{Type: reactivated}
	default:
		return &Change{Type: updated}
	}
}

func (c *Change) diff(name, was, is string) {
	if was != is {
		c.Set = c.Set.text(name, is)
	}
}

func (c *Change) diffNum(name string, all bool, was, is int64) {
	if all || was != is {
		c.Set = c.Set.number(name, is)
	}
}
