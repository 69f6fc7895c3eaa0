package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// ErrNotFound is wrapped when no person has the ID, or not in the state that
// the call needs; ErrConflict when a user principal name is taken.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
)

// MaxPeople bounds a directory: about 700 bytes each, so 700 MB.
const MaxPeople = 1_000_000

type state uint8

const (
	active  state = iota
	removed       // in deleted items, restorable
	purged        // gone for good; the record stays for the delta's sake
)

// record is one person and what deltas must remember about it. Versions are
// log positions, counted from 1.
type record struct {
	person Person
	ever   Props // properties that were ever set
	state  state
	born   uint32             // version of its creation
	turned uint32             // version of its last creation, removal or restoring
	seq    uint32             // its last entry in the log; earlier ones are stale
	edited *[propCount]uint32 // last version per property; nil: all are born
	links  []link             // managers over time; nil: just person.Manager since born
	lost   string             // manager who is in deleted items
}

// link is a manager held from a version on; empty for none.
type link struct {
	from    uint32
	manager string
}

// Directory holds the people of one tenant. Every edit appends to the log, so
// a reader who follows the log to its end has seen the last state of everyone.
type Directory struct {
	mu      sync.RWMutex
	rng     *rand.Rand
	records []*record
	byID    map[string]int32
	byUPN   map[string]int32 // lower case, active people only
	names   beginnings
	log     []int32 // index of the record that changed
	reports map[string][]int32
	live    int

	seed   uint64
	clock  func() time.Time    // nil: nobody asks when somebody left
	left   map[int32]time.Time // last removal
	turns  []turn              // comings and goings, oldest first
	lag    int                 // how many of the last ones counts do not know
	mail   mailboxes
	groups groupStore
}

func newDirectory(seed uint64) *Directory {
	return &Directory{
		rng:     rand.New(rand.NewPCG(seed, 0x726f6c6c63616c6c)),
		byID:    map[string]int32{},
		byUPN:   map[string]int32{},
		reports: map[string][]int32{},
		seed:    seed,
		left:    map[int32]time.Time{},
		groups:  newGroupStore(seed),
	}
}

// GUID is a version 4 UUID of the generator, so that directories of one seed
// are alike to the last byte.
func GUID(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

// Create adds an account and returns its ID. A user principal name is
// required; "id" may be given.
func (d *Directory) Create(f Fields) (id string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := Person{AccountEnabled: true, UserType: "Member"}
	if v, ok := f["id"]; ok {
		if p.ID, ok = v.(string); !ok || !IsGUID(p.ID) {
			return "", fmt.Errorf("tenant: create person: id: %w: want a lower-case GUID", ErrInvalid)
		}
	} else {
		p.ID = GUID(d.rng)
	}
	if _, err := d.apply(&p, f); err != nil {
		return "", fmt.Errorf("tenant: create person: %w", err)
	}
	if err := d.insert(p); err != nil {
		return "", fmt.Errorf("tenant: create person: %w", err)
	}
	return p.ID, nil
}

// insert adds a person whose fields are already valid.
func (d *Directory) insert(p Person) error {
	upn := strings.ToLower(p.UserPrincipalName)
	if upn == "" {
		return fmt.Errorf("userPrincipalName: %w: required", ErrInvalid)
	}
	if _, taken := d.byUPN[upn]; taken {
		return fmt.Errorf("userPrincipalName %q: %w", p.UserPrincipalName, ErrConflict)
	}
	if _, taken := d.byID[p.ID]; taken {
		return fmt.Errorf("id %s: %w", p.ID, ErrConflict)
	}
	if len(d.records) >= MaxPeople {
		return fmt.Errorf("%w: a directory holds at most %d people", ErrInvalid, MaxPeople)
	}
	i := int32(len(d.records))
	r := &record{person: p}
	for j := range properties {
		if !properties[j].empty(&p) {
			r.ever |= properties[j].bit
		}
	}
	d.records = append(d.records, r)
	d.byID[p.ID], d.byUPN[upn] = i, i
	d.names.note(upn, i)
	if p.Manager != "" {
		d.reports[p.Manager] = append(d.reports[p.Manager], i)
	}
	d.live++
	d.came(i)
	r.born = d.touch(i)
	r.turned = r.born
	return nil
}

// touch appends the record to the log and returns the new version.
func (d *Directory) touch(i int32) uint32 {
	d.log = append(d.log, i)
	d.records[i].seq = uint32(len(d.log))
	return d.records[i].seq
}

// apply writes the fields into p and returns the properties that it names.
func (d *Directory) apply(p *Person, f Fields) (named Props, err error) {
	for name, v := range f {
		bit, err := Prop(name)
		if err != nil {
			return 0, err
		}
		if bit == PropID {
			if v != p.ID {
				return 0, fmt.Errorf("id: %w: never changes", ErrInvalid)
			}
			continue
		}
		named |= bit
		raw, ready := v.(json.RawMessage)
		if !ready {
			if raw, err = json.Marshal(v); err != nil {
				return 0, fmt.Errorf("%s: %w: %v", name, ErrInvalid, err)
			}
		}
		if bit != PropManager {
			if err := byName[strings.ToLower(name)].set(p, raw); err != nil {
				return 0, err
			}
			continue
		}
		var m string
		if err := decode(raw, &m); err != nil {
			return 0, fmt.Errorf("manager: %w: want a person's id or null", ErrInvalid)
		}
		if m != "" {
			i, ok := d.byID[m]
			if !ok || d.records[i].state != active {
				return 0, fmt.Errorf("manager %s: %w", m, ErrNotFound)
			}
		}
		p.Manager = m
	}
	return named, nil
}

// find returns the record of an ID if it is in one of the states.
func (d *Directory) find(id string, in ...state) (int32, *record, error) {
	i, ok := d.byID[id]
	if ok {
		for _, s := range in {
			if d.records[i].state == s {
				return i, d.records[i], nil
			}
		}
	}
	return 0, nil, fmt.Errorf("person %s: %w", id, ErrNotFound)
}

// Update changes an account. Values that are already there change nothing and
// no delta will show them.
func (d *Directory) Update(id string, f Fields) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.update(id, f); err != nil {
		return fmt.Errorf("tenant: update: %w", err)
	}
	return nil
}

func (d *Directory) update(id string, f Fields) error {
	i, r, err := d.find(id, active)
	if err != nil {
		return err
	}
	p := r.person
	named, err := d.apply(&p, f)
	if err != nil {
		return err
	}
	oldUPN, upn := strings.ToLower(r.person.UserPrincipalName), strings.ToLower(p.UserPrincipalName)
	if upn == "" {
		return fmt.Errorf("userPrincipalName: %w: required", ErrInvalid)
	}
	if j, taken := d.byUPN[upn]; taken && j != i {
		return fmt.Errorf("userPrincipalName %q: %w", p.UserPrincipalName, ErrConflict)
	}
	if named&PropManager != 0 {
		r.lost = ""
	}
	var changed Props
	for j := range properties {
		if pr := &properties[j]; named&pr.bit != 0 && !pr.equal(&p, &r.person) {
			changed |= pr.bit
		}
	}
	if changed == 0 {
		return nil
	}
	delete(d.byUPN, oldUPN)
	d.byUPN[upn] = i
	if upn != oldUPN {
		d.names.note(upn, i)
	}
	manager := p.Manager
	p.Manager = r.person.Manager
	r.person = p
	v := d.touch(i)
	r.mark(changed, v)
	if changed&PropManager != 0 {
		d.relink(i, manager, v)
	}
	return nil
}

// mark notes the version of the changed properties.
func (r *record) mark(changed Props, v uint32) {
	if r.edited == nil {
		r.edited = new([propCount]uint32)
		for j := range r.edited {
			r.edited[j] = r.born
		}
	}
	for j := range properties {
		if changed&properties[j].bit != 0 {
			r.edited[j] = v
		}
	}
	r.ever |= changed
}

// People is the truth that a reader should arrive at: the active people, in
// order of creation.
func (d *Directory) People() []Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]Person, 0, d.live)
	for _, r := range d.records {
		if r.state == active {
			out = append(out, r.person)
		}
	}
	return out
}

// Deleted lists the people who were removed and can be restored.
func (d *Directory) Deleted() []Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []Person
	for _, r := range d.records {
		if r.state == removed {
			out = append(out, r.person)
		}
	}
	return out
}

// Len is the number of active people.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.live
}
