package graph

import (
	"net/http"
	"strings"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// subscribedSKUs lists what the customer has licenses of, all on one page. It
// takes no $filter (documented, "List subscribedSkus").
func (s *Server) subscribedSKUs(c call) wire.Reply {
	if err := c.allow("$select"); err != nil {
		return s.refused(c, err)
	}
	list := []any{}
	for _, sku := range c.tenant.SKUs() {
		doc, err := describeSKU(c, sku)
		if err != nil {
			return s.refused(c, err)
		}
		list = append(list, doc)
	}
	return wire.JSON(http.StatusOK, map[string]any{"@odata.context": s.Base + "/v1.0/$metadata#subscribedSkus", "value": list})
}

func (s *Server) subscribedSKU(c call) wire.Reply {
	if err := c.allow("$select"); err != nil {
		return s.refused(c, err)
	}
	for _, sku := range c.tenant.SKUs() {
		if !strings.EqualFold(c.PathValue("id"), c.tenant.ID+"_"+sku.ID) {
			continue
		}
		doc, err := describeSKU(c, sku)
		if err != nil {
			return s.refused(c, err)
		}
		doc["@odata.context"] = s.Base + "/v1.0/$metadata#subscribedSkus/$entity"
		return wire.JSON(http.StatusOK, doc)
	}
	return s.missing(c, c.PathValue("id"))
}

// describeSKU is a subscription with the properties that are asked for.
func describeSKU(c call, sku tenant.SKU) (map[string]any, error) {
	account, _, _ := strings.Cut(c.tenant.Domain, ".")
	return pick(c.query.Get("$select"), "subscribedSku", map[string]any{
		"id": c.tenant.ID + "_" + sku.ID, "skuId": sku.ID, "skuPartNumber": sku.PartNumber,
		"accountId": c.tenant.ID, "accountName": account, "appliesTo": "User",
		"capabilityStatus": sku.CapabilityStatus, "consumedUnits": *sku.Consumed,
		"prepaidUnits": map[string]int{"enabled": sku.Enabled, "suspended": sku.Suspended, "warning": sku.Warning, "lockedOut": 0},
		// Plans and subscriptions of a product are not modeled.
		"servicePlans": []any{}, "subscriptionIds": []string{},
	})
}
