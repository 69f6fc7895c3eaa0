package graph

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Licenses returns the tenant's subscriptions, sorted by ID.
func (c *Client) Licenses(ctx context.Context, tenant connection.Access) (licenses []directory.License, err error) {
	defer fault.Wrap(&err, "graph: subscribed SKUs of tenant %s", tenant)
	b, err := c.send(ctx, tenant, call{link: c.base + "/subscribedSkus", needs: "LicenseAssignment.Read.All"})
	if err != nil {
		return nil, err
	}
	return DecodeLicenses(b)
}

// sku is a subscribed SKU. Counts that a license needs must be there: without
// them, everything would look unused or unlicensed.
type sku struct {
	ID         string `json:"skuId"`
	PartNumber string `json:"skuPartNumber"`
	Status     string `json:"capabilityStatus"`
	Consumed   *int   `json:"consumedUnits"`
	Prepaid    *struct {
		Enabled int `json:"enabled"`
		Warning int `json:"warning"`
	} `json:"prepaidUnits"`
}

// DecodeLicenses reads the answer of subscribedSkus. A SKU that several of the
// customer's accounts subscribe to comes several times; its counts add up.
func DecodeLicenses(b []byte) ([]directory.License, error) {
	skus, err := decodeAll[sku](b)
	if err != nil {
		return nil, err
	}
	merged := make(map[string]directory.License, len(skus))
	for _, s := range skus {
		id, err := objectID(s.ID)
		if err != nil {
			return nil, err
		}
		if s.Consumed == nil || s.Prepaid == nil || *s.Consumed < 0 || s.Prepaid.Enabled < 0 || s.Prepaid.Warning < 0 {
			return nil, fault.New(fault.Unknown, "SKU %s without its counts", id)
		}
		l, again := merged[id]
		if !again || s.Status == "Enabled" {
			l.ID, l.PartNumber, l.Status = id, s.PartNumber, s.Status
		}
		// Units in their days of grace can still be assigned; suspended and
		// locked ones cannot. Source: Microsoft Graph documentation,
		// "licenseUnitsDetail resource type".
		l.Total += s.Prepaid.Enabled + s.Prepaid.Warning
		l.Consumed += *s.Consumed
		merged[id] = l
	}
	return slices.SortedFunc(maps.Values(merged), func(a, b directory.License) int { return cmp.Compare(a.ID, b.ID) }), nil
}
