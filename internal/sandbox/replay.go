package sandbox

import (
	"fmt"
	"strings"
)

// Thing is what the vendor's product sees of a team, licence, mailbox or
// position.
type Thing struct {
	Properties map[string]any
	Active     bool
	// Change is the number of the thing's newest change.
	Change int64
}

// State is what a reader of the feed knows.
type State struct {
	People map[string]Person
	// Things are by kind (team, license, mailbox, position) and ID.
	Things map[string]map[string]Thing
	// Members are the people of each team.
	Members map[string]map[string]bool
}

// Replay applies a feed to nothing and returns its people.
func Replay(changes []Change) (map[string]Person, error) {
	s, err := ReplayAll(changes)
	return s.People, err
}

// ReplayAll applies a feed to nothing, as a reader of it would. It fails if
// the numbers have a gap, or a change does not fit what came before.
func ReplayAll(changes []Change) (State, error) {
	s := State{
		People: make(map[string]Person), Members: make(map[string]map[string]bool),
		Things: map[string]map[string]Thing{"team": {}, "license": {}, "mailbox": {}, "position": {}},
	}
	for i, c := range changes {
		if c.Number != int64(i)+1 {
			return s, fmt.Errorf("sandbox: change %d comes as number %d", c.Number, i+1)
		}
		if err := s.apply(c); err != nil {
			return s, fmt.Errorf("sandbox: change %d: %s: %w", c.Number, c.Type, err)
		}
	}
	return s, nil
}

func (s *State) apply(c Change) error {
	kind, verb, _ := strings.Cut(c.Type, ".")
	switch {
	case c.Type == "redacted":
		return nil
	case c.Type == "person.erased":
		delete(s.People, c.ID)
		return nil
	case c.Type == "team.members":
		return s.members(c)
	case kind == "person":
		p, known := s.People[c.ID]
		t := Thing(p)
		if err := t.apply(verb, known, c); err != nil {
			return err
		}
		s.People[c.ID] = Person(t)
		return nil
	case s.Things[kind] != nil:
		t, known := s.Things[kind][c.ID]
		if err := t.apply(verb, known, c); err != nil {
			return err
		}
		s.Things[kind][c.ID] = t
		return nil
	default:
		return fmt.Errorf("an unknown type")
	}
}

func (t *Thing) apply(verb string, known bool, c Change) error {
	if known == (verb == "created") {
		return fmt.Errorf("of one who is known: %v", known)
	}
	switch verb {
	case "created", "reactivated":
		if t.Active {
			return fmt.Errorf("of an active one")
		}
		t.Active = true
	case "archived":
		if !t.Active {
			return fmt.Errorf("of one who is archived already")
		}
		t.Active = false
	case "updated":
		if len(c.Set) == 0 {
			return fmt.Errorf("of nothing")
		}
	default:
		return fmt.Errorf("an unknown type")
	}
	if t.Properties == nil {
		t.Properties = make(map[string]any)
	}
	for k, v := range c.Set {
		if v == nil {
			delete(t.Properties, k)
		} else {
			t.Properties[k] = v
		}
	}
	t.Change = c.Number
	return nil
}

func (s *State) members(c Change) error {
	if _, known := s.Things["team"][c.ID]; !known {
		return fmt.Errorf("of an unknown team")
	}
	if len(c.Joined)+len(c.Left) == 0 {
		return fmt.Errorf("of nobody")
	}
	m := s.Members[c.ID]
	if m == nil {
		m = make(map[string]bool)
		s.Members[c.ID] = m
	}
	for _, id := range c.Joined {
		if m[id] {
			return fmt.Errorf("%s joins, and is a member", id)
		}
		m[id] = true
	}
	for _, id := range c.Left {
		if !m[id] {
			return fmt.Errorf("%s leaves, and is no member", id)
		}
		delete(m, id)
	}
	return nil
}
