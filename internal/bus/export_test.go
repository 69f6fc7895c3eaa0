package bus

// Look bounds how many messages a call of Discard looks at.
func (q *Queue) Look(n int) { q.look = n }
