package graph

import (
	"encoding/json"
	"slices"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// page is a page of a list or of a delta round.
type page[T any] struct {
	Next  string `json:"@odata.nextLink"`
	Delta string `json:"@odata.deltaLink"`
	Value *[]T   `json:"value"`
}

// decodePage reads a page of anything. What is not whole is an error of kind Unknown:
// fetching it again may help.
func decodePage[T any](b []byte) (p page[T], err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return page[T]{}, fault.New(fault.Unknown, "page: %w", err)
	}
	return p, p.hasValue()
}

func (p *page[T]) hasValue() error {
	if p.Value == nil {
		*p = page[T]{}
		return fault.New(fault.Unknown, "page without a value")
	}
	return nil
}

// ofRound refuses a page that is none of a delta round, which leads on or ends
// the round.
func (p *page[T]) ofRound() error {
	if (p.Next == "") == (p.Delta == "") {
		*p = page[T]{}
		return fault.New(fault.Unknown, "page must have a next or a delta link")
	}
	return nil
}

// ofList refuses a page that is none of a plain list, which leads on or is the
// last.
func (p *page[T]) ofList() error {
	if p.Delta != "" {
		*p = page[T]{}
		return fault.New(fault.Unknown, "page of a list with a delta link")
	}
	return nil
}

// decodeList reads a page of a plain list.
func decodeList[T any](b []byte) (p page[T], err error) {
	if p, err = decodePage[T](b); err == nil {
		err = p.ofList()
	}
	return p, err
}

// decodeAll reads a list that Graph does not page: a part of it would read as
// absence.
func decodeAll[T any](b []byte) ([]T, error) {
	p, err := decodeList[T](b)
	if err != nil {
		return nil, err
	}
	if p.Next != "" {
		return nil, fault.New(fault.Unknown, "list is not whole")
	}
	return *p.Value, nil
}

// object is any directory object, by its ID.
type object struct {
	Type string `json:"@odata.type"`
	ID   string `json:"id"`
}

// is reports whether the object is of the type. Graph names the type of each
// object in a mixed list (documented); one without counts as what is looked
// for (inferred), which at worst keeps an ID that no person or team has.
func (o *object) is(kind string) bool {
	return o.Type == "" || o.Type == "#microsoft.graph."+kind
}

// decodeIDs returns the IDs of the objects of a type on a page of a list,
// sorted and without repeats.
func decodeIDs(b []byte, kind string) (p directory.IDPage, err error) {
	body, err := decodeList[object](b)
	if err != nil {
		return p, err
	}
	ids, err := idsOf(*body.Value, kind)
	if err != nil {
		return p, err
	}
	return directory.IDPage{IDs: ids, Next: body.Next}, nil
}

func idsOf(objects []object, kind string) ([]string, error) {
	ids := make([]string, 0, len(objects))
	for i := range objects {
		id, err := objectID(objects[i].ID)
		if err != nil {
			return nil, err
		}
		if objects[i].is(kind) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// objectID is the ID as we write it.
func objectID(s string) (string, error) {
	id := strings.ToLower(s)
	if _, ok := directory.Key(id); !ok {
		return "", errID()
	}
	return id, nil
}

// checkIDs refuses what must not get into the path of a request.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if _, ok := directory.Key(id); !ok {
			return fault.New(fault.Invalid, "ID %.40q is not a lower-case GUID", id)
		}
	}
	return nil
}

// unforgotten turns an expired link that was followed within one call into an
// Unknown: the caller has no link to give up, and may call again.
func unforgotten(err error) error {
	if e := fault.Of(err); e != nil && e.Kind == fault.Expired {
		return &fault.Error{Kind: fault.Unknown, Code: e.Code, Err: err}
	}
	return err
}
