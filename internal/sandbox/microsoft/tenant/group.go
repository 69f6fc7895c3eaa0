package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// HiddenMembership is the visibility of a group whose members only an app
// with Member.Read.Hidden can see (documented, "group resource type").
const HiddenMembership = "HiddenMembership"

// Group is a group as Graph shows it, without its members. An empty string or
// slice stands for a value that is not set. The slices of a Group that this
// package hands out are shared and must not be written to.
type Group struct {
	ID                          string   `json:"id"`
	DisplayName                 string   `json:"displayName"`
	Description                 string   `json:"description"`
	Mail                        string   `json:"mail"`
	MailNickname                string   `json:"mailNickname"`
	MailEnabled                 bool     `json:"mailEnabled"`
	SecurityEnabled             bool     `json:"securityEnabled"`
	Visibility                  string   `json:"visibility"` // Public, Private, HiddenMembership or empty
	GroupTypes                  []string `json:"groupTypes"`
	ResourceProvisioningOptions []string `json:"resourceProvisioningOptions"`
	MembershipRule              string   `json:"membershipRule"`
}

// Unified says whether it is a Microsoft 365 group, the only kind that goes to
// deleted items (documented, "Restore deleted item").
func (g *Group) Unified() bool { return slices.Contains(g.GroupTypes, "Unified") }

// Team says whether the group is a Team.
func (g *Group) Team() bool { return slices.Contains(g.ResourceProvisioningOptions, "Team") }

// Hidden says whether the members are hidden.
func (g *Group) Hidden() bool { return strings.EqualFold(g.Visibility, HiddenMembership) }

// GroupProps is a set of group properties, of which the members are one.
type GroupProps uint32

// The properties of a group that the stand-in knows.
const (
	GroupID GroupProps = 1 << iota
	GroupDisplayName
	GroupDescription
	GroupMail
	GroupMailNickname
	GroupMailEnabled
	GroupSecurityEnabled
	GroupVisibility
	GroupTypes
	GroupProvisioning
	GroupMembershipRule
	GroupMembers

	// GroupAll is every property.
	GroupAll GroupProps = 1<<iota - 1

	// GroupDefault is what a list shows without $select.
	GroupDefault = GroupAll &^ GroupMembers
)

// groupPropCount is the number of single properties without the members.
const groupPropCount = 11

// groupProperty describes one property; one of the three accessors is set,
// but for the ID.
type groupProperty struct {
	name string
	bit  GroupProps
	text func(*Group) *string
	flag func(*Group) *bool
	list func(*Group) *[]string
}

var groupProperties = [groupPropCount]groupProperty{
	{name: "id", bit: GroupID},
	{name: "displayName", bit: GroupDisplayName, text: func(g *Group) *string { return &g.DisplayName }},
	{name: "description", bit: GroupDescription, text: func(g *Group) *string { return &g.Description }},
	{name: "mail", bit: GroupMail, text: func(g *Group) *string { return &g.Mail }},
	{name: "mailNickname", bit: GroupMailNickname, text: func(g *Group) *string { return &g.MailNickname }},
	{name: "mailEnabled", bit: GroupMailEnabled, flag: func(g *Group) *bool { return &g.MailEnabled }},
	{name: "securityEnabled", bit: GroupSecurityEnabled, flag: func(g *Group) *bool { return &g.SecurityEnabled }},
	{name: "visibility", bit: GroupVisibility, text: func(g *Group) *string { return &g.Visibility }},
	{name: "groupTypes", bit: GroupTypes, list: func(g *Group) *[]string { return &g.GroupTypes }},
	{name: "resourceProvisioningOptions", bit: GroupProvisioning, list: func(g *Group) *[]string { return &g.ResourceProvisioningOptions }},
	{name: "membershipRule", bit: GroupMembershipRule, text: func(g *Group) *string { return &g.MembershipRule }},
}

// GroupProp finds a property by its Graph name, in any case.
func GroupProp(name string) (GroupProps, error) {
	if strings.EqualFold(name, "members") {
		return GroupMembers, nil
	}
	for i := range groupProperties {
		if strings.EqualFold(groupProperties[i].name, name) {
			return groupProperties[i].bit, nil
		}
	}
	return 0, fmt.Errorf("property %q: %w: not a property of group", name, ErrInvalid)
}

// Names lists the properties of s in their fixed order.
func (s GroupProps) Names() []string {
	var names []string
	for i := range groupProperties {
		if s&groupProperties[i].bit != 0 {
			names = append(names, groupProperties[i].name)
		}
	}
	if s&GroupMembers != 0 {
		names = append(names, "members")
	}
	return names
}

// set stores the raw JSON value of one property in g.
func (pr *groupProperty) set(g *Group, raw json.RawMessage) error {
	switch {
	case pr.text != nil:
		var s string
		if err := decode(raw, &s); err != nil {
			return fmt.Errorf("%s: %w: want a string or null", pr.name, ErrInvalid)
		}
		if len(s) > maxField {
			return fmt.Errorf("%s: %w: %d bytes, at most %d", pr.name, ErrInvalid, len(s), maxField)
		}
		if pr.bit == GroupVisibility && !slices.Contains([]string{"", "Public", "Private", HiddenMembership}, s) {
			return fmt.Errorf("%s: %w: want Public, Private or %s", pr.name, ErrInvalid, HiddenMembership)
		}
		*pr.text(g) = s
	case pr.list != nil:
		var l []string
		if err := decode(raw, &l); err != nil {
			return fmt.Errorf("%s: %w: want an array of strings or null", pr.name, ErrInvalid)
		}
		if len(l) > maxList || slices.ContainsFunc(l, func(s string) bool { return len(s) > maxField }) {
			return fmt.Errorf("%s: %w: at most %d values of %d bytes", pr.name, ErrInvalid, maxList, maxField)
		}
		*pr.list(g) = l
	default:
		var b *bool
		if err := decode(raw, &b); err != nil || b == nil {
			return fmt.Errorf("%s: %w: want true or false", pr.name, ErrInvalid)
		}
		*pr.flag(g) = *b
	}
	return nil
}

// equal says whether the property is the same in both.
func (pr *groupProperty) equal(a, b *Group) bool {
	switch {
	case pr.text != nil:
		return *pr.text(a) == *pr.text(b)
	case pr.list != nil:
		return slices.Equal(*pr.list(a), *pr.list(b))
	case pr.flag != nil:
		return *pr.flag(a) == *pr.flag(b)
	}
	return a.ID == b.ID
}

// empty says whether the property holds nothing, which in a new group means
// that it was never set. A flag is always set, and so are the collections: a
// list shows them as [].
func (pr *groupProperty) empty(g *Group) bool {
	return pr.text != nil && *pr.text(g) == ""
}

// AppendJSON appends the members of show, without the braces, in a fixed
// order. An unset text is null and an unset collection [], as Graph shows
// them.
func (g *Group) AppendJSON(dst []byte, show GroupProps) []byte {
	comma := false
	for i := range groupProperties {
		pr := &groupProperties[i]
		if show&pr.bit == 0 {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, '"')
		dst = append(dst, pr.name...)
		dst = append(dst, '"', ':')
		switch {
		case pr.text != nil:
			dst = appendText(dst, *pr.text(g))
		case pr.list != nil:
			dst = append(dst, '[')
			for i, s := range *pr.list(g) {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendString(dst, s)
			}
			dst = append(dst, ']')
		case pr.flag != nil && *pr.flag(g):
			dst = append(dst, "true"...)
		case pr.flag != nil:
			dst = append(dst, "false"...)
		default:
			dst = appendString(dst, g.ID)
		}
	}
	return dst
}

// appendText quotes a text; an empty one is null.
func appendText(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, s)
}
