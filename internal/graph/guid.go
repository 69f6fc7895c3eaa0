package graph

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// parseGUID reports whether the text is a GUID, and whether its letters are all
// in lower case, and returns a hash of it in which their case does not count.
// It is [directory.Key] eight digits at once, since a page has thousands.
func parseGUID(t string) (hash uint32, lower, ok bool) {
	if len(t) != 36 || t[8] != '-' || t[13] != '-' || t[18] != '-' || t[23] != '-' {
		return 0, false, false
	}
	var sum, wrong, capitals uint64
	for _, x := range [...]uint64{
		four(t, 0) | four(t, 4)<<32, four(t, 9) | four(t, 14)<<32, four(t, 19) | four(t, 24)<<32, four(t, 28) | four(t, 32)<<32,
	} {
		wrong |= x & highs // what follows takes each byte to be below 0x80
		x &^= highs
		// The high bit of x+0x80-c is set from c on.
		folded := x | 0x20*ones
		digit := (x + (0x80-'0')*ones) &^ (x + (0x80-'9'-1)*ones) & highs
		letter := (folded + (0x80-'a')*ones) &^ (folded + (0x80-'f'-1)*ones) & highs
		wrong |= highs &^ (digit | letter)
		capitals |= letter >> 2 &^ x
		sum = (sum ^ folded) * 0x9e3779b97f4a7c15
	}
	return uint32(sum >> 32), capitals&(0x20*ones) == 0, wrong == 0
}

// four are the four bytes from i, the first lowest.
func four(t string, i int) uint64 {
	w := t[i : i+4]
	return uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24
}
