package agent

import (
	"encoding/json"

	"github.com/casefile-io/casefile/collector"
)

// fire takes a G record of an agent: something that all captures of the run
// wait for has happened there.
func (c *caller) fire(payload []byte) error {
	var e collector.TriggerEvent
	if c.plan.Trigger == nil || len(c.plan.Until) == 0 || len(payload) > maxJSON || json.Unmarshal(payload, &e) != nil {
		return c.router.junk(KindTrigger)
	}
	c.plan.Trigger.Fire(collector.TriggerEvent{Trigger: clean(e.Trigger, maxReason), Detail: clean(e.Detail, maxReason), Where: c.plan.Node, Time: e.Time})
	return nil
}

// fired is the payload of the G record that tells the peer.
func fired(t *collector.Trigger) []byte {
	e, _ := t.Event()
	b, err := json.Marshal(e)
	if err != nil {
		return []byte("{}") // a year beyond 9999
	}
	return b
}

// Trigger implements [Session].
func (s *session) Trigger() *collector.Trigger { return s.trigger }

// trip fires the agent's trigger for the command line.
func (s *session) trip(payload []byte) {
	var e collector.TriggerEvent
	if json.Unmarshal(payload, &e) == nil {
		s.trigger.Fire(e)
	}
}

// tell passes the trigger on to the command line, whoever fired it.
func (s *session) tell(done <-chan struct{}) {
	select {
	case <-s.trigger.Fired():
		s.told.Do(func() { _ = s.writeRaw(KindTrigger, fired(s.trigger)) })
	case <-done:
	}
}

// tellLast is for a trigger that fired as the work ended: the others wait.
func (s *session) tellLast(p Plan) {
	if _, ok := s.trigger.Event(); ok && len(p.Until) > 0 {
		s.told.Do(func() { _ = s.writeRaw(KindTrigger, fired(s.trigger)) })
	}
}
