package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// organizations lists the one organization of the tenant.
func (s *Server) organizations(c call) wire.Reply {
	org, err := s.describe(c)
	if err != nil {
		return s.refused(c, err)
	}
	return wire.JSON(http.StatusOK, map[string]any{
		"@odata.context": s.Base + "/v1.0/$metadata#organization", "value": []any{org},
	})
}

func (s *Server) organization(c call) wire.Reply {
	if !strings.EqualFold(c.PathValue("id"), c.tenant.ID) {
		return s.fail(c.Request, http.StatusNotFound, "Request_ResourceNotFound", "Resource '"+c.PathValue("id")+"' does not exist.")
	}
	org, err := s.describe(c)
	if err != nil {
		return s.refused(c, err)
	}
	org["@odata.context"] = s.Base + "/v1.0/$metadata#organization/$entity"
	return wire.JSON(http.StatusOK, org)
}

// describe is the organization with the properties that are asked for.
func (s *Server) describe(c call) (map[string]any, error) {
	if err := c.allow("$select", "$top"); err != nil {
		return nil, err
	}
	all := map[string]any{
		"id": c.tenant.ID, "displayName": c.tenant.Name, "tenantType": "AAD", "countryLetterCode": "DE",
		"preferredLanguage": "en", "createdDateTime": "2019-03-14T09:26:53Z", "businessPhones": []string{}, "technicalNotificationMails": []string{},
		"verifiedDomains": []map[string]any{{
			"name": c.tenant.Domain, "isDefault": true, "isInitial": true, "type": "Managed", "capabilities": "Email, OfficeCommunicationsOnline",
		}},
	}
	return pick(c.query.Get("$select"), "organization", all)
}

// maxIDs is the most IDs of one getByIds (documented, "directoryObject:
// getByIds").
const maxIDs = 1000

// maxByIDs bounds its body: 1000 GUIDs take 40 KB.
const maxByIDs = 128 << 10

// byIDs returns the objects that exist; the others are simply missing.
func (s *Server) byIDs(c call) wire.Reply {
	raw, err := wire.ReadBody(c.Request, maxByIDs)
	if err != nil {
		return s.bad(c.Request, "The body cannot be read.")
	}
	ids, users, groups, err := parseByIDs(raw)
	if err != nil {
		return s.bad(c.Request, err.Error())
	}
	show, err := selectedOfMember(c.query.Get("$select"))
	if show.names == nil {
		show.person |= tenant.PropAccountEnabled
	}
	if err == nil {
		err = c.allow("$select")
	}
	if err != nil {
		return s.refused(c, err)
	}
	b := s.opening("directoryObjects", show.names)
	b = append(b, `"value":[`...)
	comma := false
	for _, id := range ids {
		var o tenant.Object
		var ok bool
		if o.Person, ok = c.tenant.Person(id); ok {
			ok = users && c.has(readUsers)
		} else if o.Group, ok = c.tenant.Group(id); ok {
			o.IsGroup, ok = true, groups && c.has(readGroups)
		}
		if !ok {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = c.appendObject(b, &o, show, true)
	}
	return wire.Raw(http.StatusOK, append(b, "]}"...))
}

// parseByIDs reads the body of getByIds; users and groups say which are among
// the types asked for.
func parseByIDs(raw []byte) (ids []string, users, groups bool, err error) {
	var body struct {
		IDs   []string `json:"ids"`
		Types []string `json:"types"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, false, false, fmt.Errorf("the body is not the expected JSON")
	}
	if len(body.IDs) == 0 || len(body.IDs) > maxIDs {
		return nil, false, false, fmt.Errorf("ids: want 1 to %d", maxIDs)
	}
	for _, id := range body.IDs {
		id = strings.ToLower(id)
		if !tenant.IsGUID(id) {
			return nil, false, false, fmt.Errorf("invalid GUID: %.64s", id)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	asked := func(kind string) bool {
		return len(body.Types) == 0 || slices.ContainsFunc(body.Types, func(t string) bool {
			return strings.EqualFold(t, kind) || strings.EqualFold(t, "directoryObject")
		})
	}
	return ids, asked("user"), asked("group"), nil
}
