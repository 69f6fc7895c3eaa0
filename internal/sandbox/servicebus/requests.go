package servicebus

import (
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// request is a request to $cbs or to the management of a queue.
type request struct {
	l       *link
	id      any // its message ID, the correlation ID of the response
	replyTo string
	props   amqp.Map
	body    any
}

// response is the answer to a request. The codes are those of HTTP.
type response struct {
	code        int32
	condition   amqp.Condition // of a refusal
	description string
	body        amqp.Map
}

func refusal(code int32, e *amqp.Error) response {
	return response{code: code, condition: e.Condition, description: e.Description}
}

// onRequest answers a request. One that cannot be read or answered is dropped.
func (l *link) onRequest(payload []byte, now time.Time) {
	m, err := amqp.ParseMessage(payload)
	if err != nil {
		l.detach(amqp.Errorf(amqp.DecodeError, "%v", err))
		return
	}
	r := request{
		l: l, id: m.Properties.Field(0), replyTo: amqp.Text(m.Properties.Field(4)),
		props: m.Application, body: m.Value(),
	}
	if l.node.kind == kindClaims {
		// Authorize is foreign code: it runs without the mutex.
		c := l.ss.c
		c.after = append(c.after, func() {
			key, resp := c.s.putToken(r)
			c.s.do(func(time.Time) {
				if resp.code == 202 {
					c.claims[key] = true
				}
				r.answer(resp)
			})
		})
		return
	}
	resp, cut := l.node.q.manage(r, now)
	if cut {
		l.ss.c.cut()
		return
	}
	r.answer(resp)
}

// answer sends the response over the client's link for it: Go names it by its
// target address, JavaScript by the link's name.
func (r request) answer(resp response) {
	to := r.l.replyLink(r.replyTo)
	if to == nil {
		return
	}
	// $cbs and $management spell these differently; the code must be an int.
	code, description, condition := "status-code", "status-description", "error-condition"
	if r.l.node.kind == kindManagement {
		code, description, condition = "statusCode", "statusDescription", "errorCondition"
	}
	app := amqp.Map{{Key: code, Value: resp.code}, {Key: description, Value: resp.description}}
	if resp.condition != "" {
		app = append(app, amqp.Entry{Key: condition, Value: resp.condition})
	}
	var body any = resp.body
	if resp.body == nil {
		body = amqp.Map{}
	}
	to.reply(amqp.Message{
		Properties:  amqp.List{}.With(5, r.id),
		Application: app,
		Body:        amqp.Section(nil, amqp.ValueSection, body),
	}.Append(nil))
}

func (l *link) replyLink(replyTo string) *link {
	if l.ss.ending {
		return nil
	}
	for _, o := range l.ss.links {
		if o.sending && !o.detached && o.node == l.node && (o.target == replyTo || o.name == replyTo) {
			return o
		}
	}
	return nil
}

// putToken judges a token and returns the key of the queue that it is for,
// empty for the whole namespace.
func (s *Server) putToken(r request) (key string, resp response) {
	token, ok := r.body.(string)
	if op := amqp.Text(r.props.Get("operation")); op != "put-token" || !ok {
		return "", refusal(400, amqp.Errorf(amqp.NotImplemented, "operation %q with a body of %T", op, r.body))
	}
	audience := amqp.Text(r.props.Get("name"))
	if s.o.Authorize != nil {
		if err := s.o.Authorize(audience, token); err != nil {
			return "", refusal(401, amqp.Errorf(amqp.UnauthorizedAccess, "%v", err))
		}
	}
	if addressPath(audience) != "" {
		n, fault := s.resolve(audience)
		if fault != nil {
			return "", refusal(404, fault)
		}
		key = "$cbs"
		if n.q != nil {
			key = n.q.key()
		}
	}
	return key, response{code: 202, description: "Accepted"}
}
