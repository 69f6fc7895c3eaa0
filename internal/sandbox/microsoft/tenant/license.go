package tenant

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// SKU is a product that the customer has licenses of.
type SKU struct {
	ID               string `json:"skuId"`
	PartNumber       string `json:"skuPartNumber"`
	CapabilityStatus string `json:"capabilityStatus"` // Enabled if empty
	// Prepaid units by their state.
	Enabled   int `json:"enabled"`
	Suspended int `json:"suspended"`
	Warning   int `json:"warning"`
	// Consumed is the number of assigned units; nil means as many as active
	// people hold.
	Consumed *int `json:"consumedUnits,omitempty"`
}

// maxSKUs bounds what one tenant has subscribed to; real ones have dozens.
const maxSKUs = 500

// statuses are the capability statuses of a SKU (documented, "subscribedSku
// resource type").
var statuses = []string{"Enabled", "Warning", "Suspended", "Deleted", "LockedOut"}

// licensing is a tenant's subscriptions, with the assignments counted at one
// version of the directory.
type licensing struct {
	mu      sync.Mutex
	skus    []SKU
	version int // of used; -1: never counted
	used    map[string]int
}

// SetSKUs replaces the tenant's subscriptions.
func (t *Tenant) SetSKUs(skus []SKU) error {
	skus = slices.Clone(skus)
	if len(skus) > maxSKUs {
		return fmt.Errorf("tenant: set SKUs: %w: at most %d", ErrInvalid, maxSKUs)
	}
	seen := map[string]bool{}
	for i := range skus {
		s := &skus[i]
		s.ID = strings.ToLower(s.ID)
		if s.CapabilityStatus == "" {
			s.CapabilityStatus = "Enabled"
		}
		switch {
		case !IsGUID(s.ID):
			return fmt.Errorf("tenant: set SKUs: skuId %.64q: %w: want a GUID", s.ID, ErrInvalid)
		case seen[s.ID]:
			return fmt.Errorf("tenant: set SKUs: skuId %s: %w: given twice", s.ID, ErrInvalid)
		case !slices.Contains(statuses, s.CapabilityStatus):
			return fmt.Errorf("tenant: set SKUs: %s: capabilityStatus %.32q: %w: want one of %v", s.ID, s.CapabilityStatus, ErrInvalid, statuses)
		case len(s.PartNumber) > maxField || s.Enabled < 0 || s.Suspended < 0 || s.Warning < 0 || s.Consumed != nil && *s.Consumed < 0:
			return fmt.Errorf("tenant: set SKUs: %s: %w: units must not be negative, and the part number at most %d bytes", s.ID, ErrInvalid, maxField)
		}
		seen[s.ID] = true
	}
	t.licensing.mu.Lock()
	defer t.licensing.mu.Unlock()
	t.licensing.skus = skus
	return nil
}

// SKUs lists the subscriptions, each with the units consumed now.
func (t *Tenant) SKUs() []SKU {
	l := &t.licensing
	l.mu.Lock()
	defer l.mu.Unlock()
	used := t.assigned()
	out := slices.Clone(l.skus)
	for i := range out {
		if out[i].Consumed == nil {
			n := used[out[i].ID]
			out[i].Consumed = &n
		}
	}
	return out
}

// assigned counts who holds what, once for every version of the directory.
func (t *Tenant) assigned() map[string]int {
	l, d := &t.licensing, t.Directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	if l.used != nil && l.version == len(d.log) {
		return l.used
	}
	l.used, l.version = map[string]int{}, len(d.log)
	for _, r := range d.records {
		if r.state != active {
			continue
		}
		for i := range r.person.AssignedLicenses {
			l.used[strings.ToLower(r.person.AssignedLicenses[i].SkuID)]++
		}
	}
	return l.used
}

// subscribe gives a new tenant the products that generated people hold, with
// some units to spare, and two that nobody holds.
func (t *Tenant) subscribe(r *rand.Rand) error {
	t.licensing.mu.Lock()
	used := t.assigned()
	t.licensing.mu.Unlock()
	skus := []SKU{
		{ID: skuE3, PartNumber: "SPE_E3"}, {ID: skuE5, PartNumber: "SPE_E5"}, {ID: skuF3, PartNumber: "SPE_F1"},
		{ID: skuVisio, PartNumber: "VISIOCLIENT"}, {ID: skuBI, PartNumber: "POWER_BI_STANDARD"},
	}
	for i := range skus {
		skus[i].Enabled = (used[skus[i].ID]/5+1)*5 + 5*r.IntN(4)
	}
	return t.SetSKUs(append(skus,
		SKU{ID: skuFlow, PartNumber: "FLOW_FREE", Enabled: 10_000},
		SKU{ID: skuProject, PartNumber: "PROJECTPROFESSIONAL", CapabilityStatus: "Suspended", Suspended: 25},
	))
}
