package reconcile

// Tenants of some dozens take the ways of large ones.
func init() {
	minListed, longShard, maxListPage = 20, 2, 5
	maxMissing = 5
	looseRows = 10
	maxIndexed = 20
}
