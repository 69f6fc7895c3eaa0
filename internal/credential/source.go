package credential

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"rollcall/internal/fault"
)

const (
	// versions is how many versions of a credential are valid at once.
	versions = 2
	// proofLife is how long what was read is used without looking again.
	proofLife = 5 * time.Minute
	// proofRest is the least time between two looks, however often a
	// credential is refused.
	proofRest = 15 * time.Second
	// refusedLife is how long a refused version is tried last: a new one may
	// be put in the vault minutes or hours before it is registered.
	refusedLife = 10 * time.Minute
)

// proof is one version of what proves an app: a token of the managed identity,
// a certificate with its key, or a secret.
type proof struct {
	// version names it in memory and in logs; it tells nothing of the secret.
	version string
	// file is where it was read, if it was not Key Vault.
	file string
	// app is the client ID of an own app; empty for the vendor's.
	app string

	assertion string
	certs     []*x509.Certificate // leaf first
	key       *rsa.PrivateKey
	secret    string

	expires time.Time // zero if nobody said
	// bad says why the version cannot be used.
	bad error
}

// source is where the versions of one credential are read.
type source struct {
	name string
	// load reads the versions, newest first, at most [versions]. It need not
	// read again what it has read before.
	load func(ctx context.Context, known []proof) ([]proof, error)
	now  func() time.Time
	log  *slog.Logger

	flight  singleflight.Group
	mu      sync.Mutex
	proofs  []proof
	looked  time.Time               // when it was last tried to read them
	failed  error                   // why that failed, if it did
	refused map[refusedAt]time.Time // by Microsoft
}

// refusedAt is a version at one app registration: each learns of a new one by
// itself.
type refusedAt struct{ app, version string }

func (c *Credentials) newSource(name string, load func(context.Context, []proof) ([]proof, error)) *source {
	return &source{name: name, load: load, now: c.now, log: c.log, refused: make(map[refusedAt]time.Time)}
}

// all are the versions as last read, those that cannot be used included.
func (s *source) all(ctx context.Context) ([]proof, error) { return s.within(ctx, proofLife) }

// within are the versions as read at most maxAge ago. If they cannot be read
// now, they are as last read: a vault that is down stops nobody. A failure is
// remembered for [proofRest].
func (s *source) within(ctx context.Context, maxAge time.Duration) ([]proof, error) {
	s.mu.Lock()
	known, failed, age := s.proofs, s.failed, s.now().Sub(s.looked)
	s.mu.Unlock()
	if failed != nil {
		maxAge = min(maxAge, proofRest)
	}
	switch {
	case age >= maxAge:
	case known != nil:
		return known, nil
	case failed != nil:
		return nil, failed
	}
	done := s.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTime)
		defer cancel()
		return s.read(ctx, known)
	})
	select {
	case <-ctx.Done():
		return nil, passing(ctx.Err())
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.([]proof), nil
	}
}

func (s *source) read(ctx context.Context, known []proof) ([]proof, error) {
	ps, err := s.load(ctx, known)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked, s.failed = s.now(), err
	switch {
	case err == nil:
		for _, p := range untried(ps, known) {
			if p.bad != nil {
				s.log.WarnContext(ctx, "credential version is of no use", "name", s.name, "version", p.version, "err", p.bad)
			}
		}
		s.proofs = ps
		return ps, nil
	case fault.Is(err, fault.NotFound): // taken away, which is an answer
		s.proofs = nil
		return nil, err
	case known != nil:
		s.log.WarnContext(ctx, "credential cannot be read; going on with what is known", "name", s.name, "err", err)
		return known, nil
	}
	return nil, err
}

// proven are the versions, read at most maxAge ago, by which the app can prove
// itself, in the order in which to try them: newest first, those refused a
// while ago last. id is the app's, found in the newest version if none is
// given.
func (s *source) proven(ctx context.Context, app string, maxAge time.Duration) (id string, ps []proof, err error) {
	all, err := s.within(ctx, maxAge)
	if err != nil {
		return "", nil, err
	}
	good := slices.DeleteFunc(slices.Clone(all), func(p proof) bool { return p.bad != nil })
	if len(good) == 0 {
		return "", nil, all[0].bad
	}
	if app == "" {
		app = good[0].app
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var last []proof
	for _, p := range good {
		switch {
		case p.app != "" && p.app != app:
		case s.recently(app, p.version):
			last = append(last, p)
		default:
			ps = append(ps, p)
		}
	}
	if ps = append(ps, last...); len(ps) == 0 {
		return "", nil, fault.New(fault.Invalid, "%s holds another app than %s", s.name, app).WithRemedy(
			"The Key Vault secret %s holds another app than the one that the customer consented to. Put that one back, or send the customer's administrator a new link.", s.name)
	}
	return app, ps, nil
}

// refuse notes that Microsoft does not take a version. It reports whether that
// is news.
func (s *source) refuse(app, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.recently(app, version)
	s.refused[refusedAt{app, version}] = s.now()
	return !known
}

func (s *source) isRefused(app, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recently(app, version)
}

// recently reports whether Microsoft has refused a version a while ago. The
// lock is held.
func (s *source) recently(app, version string) bool {
	at, ok := s.refused[refusedAt{app, version}]
	return ok && s.now().Sub(at) < refusedLife
}

// untried are the versions that are not among the tried.
func untried(ps, tried []proof) []proof {
	return slices.DeleteFunc(slices.Clone(ps), func(p proof) bool {
		return slices.ContainsFunc(tried, func(t proof) bool { return t.version == p.version })
	})
}
