package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"rollcall/internal/sandbox/microsoft/wire"
)

// retention is how many days a deleted secret can be brought back (documented,
// soft-delete overview: 90 by default).
const retention = 90

// attributes are a version's, as Key Vault writes them: times in seconds since
// 1970.
type attributes struct {
	Enabled         *bool  `json:"enabled,omitempty"`
	NotBefore       *int64 `json:"nbf,omitempty"`
	Expires         *int64 `json:"exp,omitempty"`
	Created         int64  `json:"created,omitempty"`
	Updated         int64  `json:"updated,omitempty"`
	RecoveryLevel   string `json:"recoveryLevel,omitempty"`
	RecoverableDays int    `json:"recoverableDays,omitempty"`
}

// bundle is a secret on the wire.
type bundle struct {
	Value       *string           `json:"value,omitempty"`
	ID          string            `json:"id,omitempty"`
	ContentType string            `json:"contentType,omitempty"`
	Attributes  attributes        `json:"attributes"`
	Tags        map[string]string `json:"tags,omitempty"`
	Managed     bool              `json:"managed,omitempty"`
	KeyID       string            `json:"kid,omitempty"`

	RecoveryID string `json:"recoveryId,omitempty"`
	Deleted    int64  `json:"deletedDate,omitempty"`
	Purge      int64  `json:"scheduledPurgeDate,omitempty"`
}

// show is a version without its value; named says whether its ID names the
// version.
func show(name string, v version, named bool) bundle {
	enabled := !v.Disabled
	b := bundle{
		ID: URL + "/secrets/" + name, ContentType: v.ContentType, Tags: v.Tags, Managed: v.Managed,
		Attributes: attributes{
			Enabled: &enabled, NotBefore: seconds(v.NotBefore), Expires: seconds(v.Expires),
			Created: v.created.Unix(), Updated: v.updated.Unix(), RecoveryLevel: "Recoverable", RecoverableDays: retention,
		},
	}
	if named {
		b.ID += "/" + v.id
	}
	if v.Managed {
		b.KeyID = URL + "/keys/" + name + "/" + v.id
	}
	return b
}

// seconds since 1970, nil for no time.
func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.Unix()
	return &n
}

// at is the time of a number of seconds, zero for none.
func at(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return time.Unix(*n, 0).UTC()
}

func (s *Server) get(r *http.Request) wire.Reply {
	name, id := r.PathValue("name"), r.PathValue("version")
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.live(name)
	if sec == nil || id != "" && !versionForm.MatchString(id) || sec.find(id) < 0 {
		return missing(name, id)
	}
	v := sec.versions[sec.find(id)]
	if v.Disabled {
		return failure(http.StatusForbidden, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
	}
	b := show(name, v, true)
	b.Value = &v.value
	return wire.JSON(http.StatusOK, b)
}

func (s *Server) put(r *http.Request) wire.Reply {
	name := r.PathValue("name")
	var in bundle
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Value == nil {
		return failure(http.StatusBadRequest, "BadParameter", "The body has no secret.", "")
	}
	s.mu.Lock()
	if sec := s.secrets[name]; sec != nil && !sec.deleted.IsZero() {
		s.mu.Unlock()
		return failure(http.StatusConflict, "Conflict", fmt.Sprintf("Secret %s is currently in a deleted but recoverable state, "+
			"and its name cannot be reused; in this state, the secret can only be recovered or purged.", name), "ObjectIsDeletedButRecoverable")
	}
	s.mu.Unlock()
	o := Options{ContentType: in.ContentType, Tags: in.Tags, Expires: at(in.Attributes.Expires), NotBefore: at(in.Attributes.NotBefore)}
	o.Disabled = in.Attributes.Enabled != nil && !*in.Attributes.Enabled
	id, err := s.Set(name, *in.Value, o)
	switch {
	case errors.Is(err, ErrInvalid):
		return failure(http.StatusBadRequest, "BadParameter", err.Error(), "")
	case err != nil:
		return failure(http.StatusInternalServerError, "InternalServerError", err.Error(), "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.live(name)
	if sec == nil || sec.find(id) < 0 { // deleted in between
		return missing(name, id)
	}
	b := show(name, sec.versions[sec.find(id)], true)
	b.Value = in.Value
	return wire.JSON(http.StatusOK, b)
}

func (s *Server) list(r *http.Request) wire.Reply {
	var all []bundle
	for _, name := range s.Names() {
		s.mu.Lock()
		if sec := s.live(name); sec != nil {
			all = append(all, show(name, sec.versions[len(sec.versions)-1], false))
		}
		s.mu.Unlock()
	}
	return page(r, all)
}

// versions lists the versions of a secret; of one that is not there the list is
// empty (inferred).
func (s *Server) versions(r *http.Request) wire.Reply {
	var all []bundle
	name := r.PathValue("name")
	s.mu.Lock()
	if sec := s.live(name); sec != nil {
		for _, v := range sec.versions {
			all = append(all, show(name, v, true))
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b bundle) int { // in no order of time, as at Azure
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return page(r, all)
}

// page is a part of a list with the address of the next one.
func page(r *http.Request, all []bundle) wire.Reply {
	q := r.URL.Query()
	skip, size := 0, pageSize
	for name, to := range map[string]*int{"$skiptoken": &skip, "maxresults": &size} {
		if v := q.Get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || name == "maxresults" && (n < 1 || n > pageSize) {
				return failure(http.StatusBadRequest, "BadParameter", name+" is not valid.", "")
			}
			*to = n
		}
	}
	skip = min(skip, len(all))
	end := min(skip+size, len(all))
	out := map[string]any{"value": append([]bundle{}, all[skip:end]...), "nextLink": nil}
	if end < len(all) {
		next := url.Values{"api-version": {q.Get("api-version")}, "$skiptoken": {strconv.Itoa(end)}, "maxresults": {strconv.Itoa(size)}}
		out["nextLink"] = URL + ":443" + r.URL.EscapedPath() + "?" + next.Encode()
	}
	return wire.JSON(http.StatusOK, out)
}

// remove deletes a secret; its name stays taken until it is purged.
func (s *Server) remove(r *http.Request) wire.Reply {
	name := r.PathValue("name")
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.live(name)
	if sec == nil {
		return missing(name, "")
	}
	sec.deleted = s.Now()
	return wire.JSON(http.StatusOK, gone(name, sec))
}

func gone(name string, sec *secret) bundle {
	b := show(name, sec.versions[len(sec.versions)-1], true)
	b.RecoveryID, b.Deleted = URL+"/deletedsecrets/"+name, sec.deleted.Unix()
	b.Purge = sec.deleted.AddDate(0, 0, retention).Unix()
	return b
}

func (s *Server) deleted(r *http.Request) wire.Reply {
	name := r.PathValue("name")
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.secrets[name]
	if sec == nil || sec.deleted.IsZero() {
		return missing(name, "")
	}
	return wire.JSON(http.StatusOK, gone(name, sec))
}

func (s *Server) purge(r *http.Request) wire.Reply {
	name := r.PathValue("name")
	s.mu.Lock()
	defer s.mu.Unlock()
	if sec := s.secrets[name]; sec == nil || sec.deleted.IsZero() {
		return missing(name, "")
	}
	delete(s.secrets, name)
	return wire.Reply{Status: http.StatusNoContent, Header: http.Header{}}
}
