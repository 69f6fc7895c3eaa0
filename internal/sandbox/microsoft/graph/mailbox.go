package graph

import (
	"net/http"

	"rollcall/internal/sandbox/microsoft/wire"
)

// mailboxSettings answers what Exchange knows of a person's mailbox: here
// what it is for, and some constants.
func (s *Server) mailboxSettings(c call) wire.Reply {
	purpose, refusal, ok := s.purpose(c, "$select")
	if !ok {
		return refusal
	}
	doc, err := pick(c.query.Get("$select"), "mailboxSettings", map[string]any{
		"userPurpose": purpose, "timeZone": "UTC", "dateFormat": "yyyy-MM-dd", "timeFormat": "HH:mm",
		"delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
	})
	if err != nil {
		return s.refused(c, err)
	}
	doc["@odata.context"] = s.Base + "/v1.0/$metadata#users('" + c.PathValue("id") + "')/mailboxSettings"
	return wire.JSON(http.StatusOK, doc)
}

// userPurpose answers only that.
func (s *Server) userPurpose(c call) wire.Reply {
	purpose, refusal, ok := s.purpose(c)
	if !ok {
		return refusal
	}
	return wire.JSON(http.StatusOK, map[string]any{
		"@odata.context": s.Base + "/v1.0/$metadata#users('" + c.PathValue("id") + "')/mailboxSettings/userPurpose", "value": purpose,
	})
}

// purpose finds the mailbox of the path, or the answer that there is none.
func (s *Server) purpose(c call, options ...string) (purpose string, refusal wire.Reply, ok bool) {
	if err := c.allow(options...); err != nil {
		return "", s.refused(c, err), false
	}
	p, found := c.tenant.Person(c.PathValue("id"))
	if !found { // as Exchange answers, not the directory (inferred)
		return "", s.fail(c.Request, http.StatusNotFound, "ErrorInvalidUser", "The requested user '"+c.PathValue("id")+"' is invalid."), false
	}
	m, found := c.tenant.Mailbox(p.ID, s.reportDay())
	if !found {
		return "", s.fail(c.Request, http.StatusNotFound, "MailboxNotEnabledForRESTAPI",
			"The mailbox is either inactive, soft-deleted, or is hosted on-premise."), false
	}
	return m.Purpose, wire.Reply{}, true
}
