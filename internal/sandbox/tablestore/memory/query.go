package memory

// Place is a row's, or where one would be.
type Place struct{ Partition, Row string }

// Query asks for rows in the order of their keys.
type Query struct {
	Filter *Filter
	Select []string // the properties to answer with; nil is all
	From   *Place   // the next place of the page before; nil is the beginning
	// An answer ends before it would hold more rows than Rows, or more bytes of
	// keys and selected properties than Bytes, but holds one row at least; and
	// after Scanned rows have been looked at.
	Rows, Bytes, Scanned int
}

// Found is a row in its place.
type Found struct {
	Place
	Row
}

// Find returns a page of rows, and the place to go on from, nil at the end. It
// may be empty and yet not the last.
func (s *Store) Find(name string, q Query) (rows []Found, next *Place, err error) {
	t, err := s.table(name)
	if err != nil {
		return nil, nil, err
	}
	partitions, keys := q.Filter.bounds("PartitionKey"), q.Filter.bounds("RowKey")
	if q.From != nil {
		partitions.from = max(partitions.from, q.From.Partition)
	}
	bytes, scanned := 0, 0
	t.mu.RLock()
	defer t.mu.RUnlock()
	for pk, p := range t.partitions.from(partitions.from) {
		if partitions.bounded && pk > partitions.until {
			return rows, nil, nil
		}
		from := keys.from
		if q.From != nil && pk == q.From.Partition {
			from = max(from, q.From.Row)
		}
		for rk, r := range (*p).from(from) {
			if keys.bounded && rk > keys.until {
				break
			}
			if scanned == q.Scanned {
				return rows, &Place{pk, rk}, nil
			}
			scanned++
			if !q.Filter.match(found{partition: pk, row: rk, value: r}) {
				continue
			}
			row := Row{r.Select(q.Select, true), r.Tick}
			bytes += len(rk) + len(row.Properties)
			if len(rows) == q.Rows || bytes > q.Bytes && len(rows) > 0 {
				return rows, &Place{pk, rk}, nil
			}
			rows = append(rows, Found{Place{pk, rk}, row})
		}
	}
	return rows, nil, nil
}
