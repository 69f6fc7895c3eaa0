package tables

import (
	"context"
	"math"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Licenses returns all stored licences in ID order: a tenant has dozens.
func (s *Store) Licenses(ctx context.Context, part string) (ls []directory.LicenseRecord, err error) {
	defer fault.Wrap(&err, "tables: licenses of %s", part)
	ls, _, err = page[directory.LicenseRecord](ctx, s, part, licensePrefix, "", math.MaxInt)
	return ls, err
}

// MailboxRecords reads the stored records of the mailboxes named; what is not
// stored is not in the result.
func (s *Store) MailboxRecords(ctx context.Context, part string, ids []string) (_ map[string]directory.MailboxRecord, err error) {
	defer fault.Wrap(&err, "tables: %d mailboxes of %s", len(ids), part)
	return records[directory.MailboxRecord](ctx, s, part, mailboxPrefix, ids)
}

// Mailboxes lists stored mailboxes like [Store.People].
func (s *Store) Mailboxes(ctx context.Context, part, after string, limit int) (ms []directory.MailboxRecord, next string, err error) {
	defer fault.Wrap(&err, "tables: mailboxes of %s", part)
	return page[directory.MailboxRecord](ctx, s, part, mailboxPrefix, after, limit)
}

// PositionRecords reads the stored records of the positions named; what is not
// stored is not in the result.
func (s *Store) PositionRecords(ctx context.Context, part string, ids []string) (_ map[string]directory.PositionRecord, err error) {
	defer fault.Wrap(&err, "tables: %d positions of %s", len(ids), part)
	return records[directory.PositionRecord](ctx, s, part, positionPrefix, ids)
}

// Positions lists stored positions like [Store.People].
func (s *Store) Positions(ctx context.Context, part, after string, limit int) (ps []directory.PositionRecord, next string, err error) {
	defer fault.Wrap(&err, "tables: positions of %s", part)
	return page[directory.PositionRecord](ctx, s, part, positionPrefix, after, limit)
}
