package pages

import (
	"slices"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

// trouble is something that went wrong, in the reader's language.
type trouble struct {
	// What is the part that it is about; empty for the whole.
	What, ID       string
	Happened, Todo string
	// Code is Microsoft's number of the cause, by which an administrator finds
	// its documentation.
	Code string
	// Detail is what a run says of a cause that has no text here, in English.
	Detail string
	// yours is true if it is the administrator's to mend, lacks if their own app
	// registration lacks a permission.
	yours, lacks bool
}

// problems are the texts of known codes, by the last part of their keys.
// Sources of the AADSTS numbers: Microsoft Entra documentation, "Microsoft
// Entra authentication and authorization error codes".
var problems = func() map[string]string {
	all := map[string]string{}
	for key, codes := range map[string][]string{
		"permission": {"Authorization_RequestDenied", "ErrorAccessDenied", "accessDenied", connection.HiddenMembership, "scope_group_forbidden"},
		"withdrawn":  {"AADSTS700016", "AADSTS7000229", "AADSTS700011", "AADSTS65001", "AADSTS650056", "AADSTS90002"},
		"disabled":   {"AADSTS7000112"},
		"policy": {
			"AADSTS53000", "AADSTS53001", "AADSTS53002", "AADSTS53003", "AADSTS53004", "AADSTS500021", "AADSTS500022", "AADSTS50105",
		},
		"ours": {
			"AADSTS7000215", "AADSTS7000222", "AADSTS700027", "AADSTS700030", "AADSTS50012", "AADSTS70002", "AADSTS500011",
			"AADSTS650057", "AADSTS90038", "AADSTS900382", "AADSTS900432",
			connection.WaveCode,
		},
		"concealed":  {"concealed_names"},
		"scopeEmpty": {"scope_group_empty"},
		"scopeGone":  {"scope_group_gone"},
		"incomplete": {"empty_answer", "many_missing"},
	} {
		for _, code := range codes {
			all[code] = key
		}
	}
	return all
}()

// general is the text of a cause that is not known; ownApp that of a credential
// that is refused and is the customer's, ownPermission that of a permission that
// the customer's own app registration does not ask for.
const (
	general       = "general"
	ownApp        = "ownApp"
	ownPermission = "ownPermission"
)

// explained returns the trouble of a code. Consent is true if a new consent
// gives what is missing, whatever the code.
func (p page) explained(code string, consent bool, message, remedy string) trouble {
	key, known := problems[code]
	switch {
	case key == "ours" && p.View.Own && code != connection.WaveCode:
		key = ownApp
	case !known && consent:
		key, known = "permission", true
	case !known:
		key = general
	}
	if key == "permission" && p.View.Own {
		key = ownPermission
	}
	t := trouble{lacks: key == ownPermission, yours: !slices.Contains([]string{"ours", "incomplete", general}, key), Happened: p.T("problem." + key), Todo: p.T("problem." + key + ".todo")}
	if strings.HasPrefix(code, "AADSTS") {
		t.Code = code
	}
	if !known {
		t.Detail = message
		for _, more := range []string{remedy, code} {
			if more != "" {
				t.Detail += " " + more
			}
		}
	}
	return t
}

// troubles are what a page tells of what went wrong: each part that the last
// run left out, or else the connection's problem.
func (p page) troubles(v consent.View) (ts []trouble) {
	if v.Problem == nil {
		return nil
	}
	if v.Run != nil && (v.Run.State == job.Succeeded || v.Run.State == job.Held) {
		for _, s := range v.Run.Skipped {
			t := p.explained(s.Code, s.Consent, s.Message, s.Remedy)
			if connection.IsCategory(s.What) {
				t.What = p.T("skipped." + s.What)
			} else {
				t.What, t.ID = p.T("skipped.group"), s.What
			}
			ts = append(ts, t)
		}
	}
	if ts == nil {
		ts = append(ts, p.explained(v.Problem.Code, v.Problem.Consent, v.Problem.Message, v.Problem.Remedy))
	}
	return ts
}

// blocking is the trouble of a consent under verification, if it is one that
// waiting does not cure; else nil.
func (p page) blocking(problem *connection.Problem) (ts []trouble) {
	key := ""
	if problem != nil {
		key = problems[problem.Code]
	}
	lacks := key == "permission" && p.View.Own && len(p.View.Missing) > 0 && p.View.Stage == consent.Invitation
	if !lacks && !slices.Contains([]string{"disabled", "policy", "ours"}, key) {
		return nil
	}
	return []trouble{p.explained(problem.Code, false, "", "")}
}
