package collector

import (
	"sync"
	"time"
)

// TriggerEvent says what somebody waited for, and when it happened.
type TriggerEvent struct {
	Trigger string    `json:"trigger"`          // as the user wrote it
	Detail  string    `json:"detail,omitempty"` // what was seen
	Where   string    `json:"node,omitempty"`   // the node that saw it, or casefile itself
	Time    time.Time `json:"time"`             // by the clock of that node
}

// Trigger is the one event of a run that all its flight recorders wait for:
// whoever sees it first fires it for all. Safe for concurrent use.
type Trigger struct {
	once  sync.Once
	fired chan struct{}
	event TriggerEvent
}

// NewTrigger makes a trigger that has not fired.
func NewTrigger() *Trigger { return &Trigger{fired: make(chan struct{})} }

// Fire fires the trigger; it says whether this was the first time.
func (t *Trigger) Fire(e TriggerEvent) (first bool) {
	t.once.Do(func() {
		t.event, first = e, true
		close(t.fired)
	})
	return first
}

// Fired is closed when the trigger has fired. That of a nil trigger never is.
func (t *Trigger) Fired() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.fired
}

// Event is what fired it; not ok before.
func (t *Trigger) Event() (e TriggerEvent, ok bool) {
	select {
	case <-t.Fired():
		return t.event, true
	default:
		return TriggerEvent{}, false
	}
}
