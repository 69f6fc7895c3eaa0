package tenant

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mailbox is what Exchange tells about a person's mailbox. Sizes are bytes.
type Mailbox struct {
	Purpose      string    `json:"userPurpose"` // user if empty
	Created      time.Time `json:"created"`
	LastActivity time.Time `json:"lastActivity"` // zero: never
	Items        int64     `json:"items"`
	Used         int64     `json:"used"`
	Warning      int64     `json:"warning"`      // issue warning quota
	NoSend       int64     `json:"noSend"`       // prohibit send quota
	NoReceive    int64     `json:"noReceive"`    // prohibit send and receive quota
	Deleted      int64     `json:"deleted"`      // items
	DeletedUsed  int64     `json:"deletedUsed"`  // their size
	DeletedQuota int64     `json:"deletedQuota"` // of deleted items
	Archive      bool      `json:"archive"`
}

// Purposes are the values of userPurpose (documented, "mailboxSettings
// resource type").
var Purposes = []string{"user", "linked", "shared", "room", "equipment", "others"}

// mailboxes are the exceptions to what a directory's people imply.
type mailboxes struct {
	set     map[string]Mailbox // by person
	removed map[string]bool
	conceal bool
}

// SetMailbox gives a person a mailbox, or another one.
func (d *Directory) SetMailbox(id string, m Mailbox) error {
	if m.Purpose == "" {
		m.Purpose = "user"
	}
	if !slices.Contains(Purposes, m.Purpose) {
		return fmt.Errorf("tenant: set mailbox: userPurpose %.32q: %w: want one of %v", m.Purpose, ErrInvalid, Purposes)
	}
	for _, n := range []int64{m.Items, m.Used, m.Warning, m.NoSend, m.NoReceive, m.Deleted, m.DeletedUsed, m.DeletedQuota} {
		if n < 0 {
			return fmt.Errorf("tenant: set mailbox of %s: %w: a figure is negative", id, ErrInvalid)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, _, err := d.find(id, active, removed); err != nil {
		return fmt.Errorf("tenant: set mailbox: %w", err)
	}
	if d.mail.set == nil {
		d.mail.set = map[string]Mailbox{}
	}
	d.mail.set[id] = m
	delete(d.mail.removed, id)
	return nil
}

// RemoveMailbox takes a person's mailbox away, whatever mail address it has.
func (d *Directory) RemoveMailbox(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, _, err := d.find(id, active, removed); err != nil {
		return fmt.Errorf("tenant: remove mailbox: %w", err)
	}
	if d.mail.removed == nil {
		d.mail.removed = map[string]bool{}
	}
	d.mail.removed[id] = true
	delete(d.mail.set, id)
	return nil
}

// Conceal says whether reports show hashes in place of names, as the tenant's
// setting displayConcealedNames does.
func (d *Directory) Conceal(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mail.conceal = on
}

// Concealed says whether reports hide names.
func (d *Directory) Concealed() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.mail.conceal
}

// Hidden is the text that stands for a name in a concealed report: always the
// same 32 hexadecimal digits for one name in one tenant.
func (t *Tenant) Hidden(name string) string {
	sum := sha256.Sum256([]byte(t.ID + "\x00" + name))
	return strings.ToUpper(hex.EncodeToString(sum[:16]))
}

// Mailbox is the mailbox of an active person as it was on a day. Unless it
// was set or removed, a person who has a mail address and is no guest has
// one: a guest's mailbox is at home. Its figures follow from the directory's
// seed and the person's ID.
func (d *Directory) Mailbox(id string, day time.Time) (Mailbox, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, r, err := d.find(id, active)
	if err != nil || d.mail.removed[id] {
		return Mailbox{}, false
	}
	if m, ok := d.mail.set[id]; ok {
		return m, true
	}
	p := &r.person
	if p.Mail == "" || strings.EqualFold(p.UserType, "Guest") {
		return Mailbox{}, false
	}
	return implied(p, d.seed, day), true
}

// gib is a gibibyte; the quotas are Exchange Online's usual ones (documented,
// "Exchange Online limits": 50 GB for shared mailboxes without a license,
// 100 GB for an E3 or E5).
const gib = int64(1) << 30

// implied makes up the mailbox of a person. Rooms and shared mailboxes are
// told by the user names that generated ones have.
func implied(p *Person, seed uint64, day time.Time) Mailbox {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(p.ID), seed))
	draw := func(i int, below int64) int64 { return int64(binary.BigEndian.Uint32(sum[4*i:])) % below }
	quota := 50 * gib
	if len(p.AssignedLicenses) > 0 {
		quota = 100 * gib
	}
	m := Mailbox{
		Purpose: "user", Items: draw(0, 90_000), Deleted: draw(1, 9_000), DeletedQuota: 30 * gib, Archive: draw(2, 10) == 0,
		NoReceive: quota, NoSend: quota - gib, Warning: quota - 2*gib,
		Created: time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(draw(3, 3650))),
	}
	m.Used, m.DeletedUsed = m.Items*(20_000+draw(4, 90_000)), m.Deleted*(10_000+draw(5, 50_000))
	if n := draw(6, 40); n > 0 { // one in forty was never used
		m.LastActivity = day.AddDate(0, 0, -int(n*n/40))
	}
	switch {
	case strings.HasPrefix(p.UserPrincipalName, "room-"):
		m.Purpose = "room"
	case strings.HasPrefix(p.UserPrincipalName, "billing-"):
		m.Purpose = "shared"
	}
	return m
}
