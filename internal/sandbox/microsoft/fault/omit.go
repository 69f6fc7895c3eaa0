package fault

// Omitted fires every armed Omit fault that covers the request and whose
// object is in the answer, and returns these objects. The caller must leave
// them out.
func (s *Set) Omitted(tenant, path string, in func(object string) bool) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out map[string]bool
	for i := 0; i < len(s.armed); i++ {
		e := s.armed[i]
		if e.Kind != Omit || !e.covers(tenant, path) || !in(e.Object) {
			continue
		}
		if e.seen++; e.seen <= e.Skip {
			continue
		}
		if out == nil {
			out = map[string]bool{}
		}
		out[e.Object] = true
		if e.fired++; e.Count > 0 && e.fired >= e.Count {
			s.retire(i)
			i--
		}
	}
	return out
}
