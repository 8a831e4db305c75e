package encrypt

import (
	"fmt"

	"filippo.io/age/plugin"
)

// Prompt is the user, as far as there is one. The zero value says nothing and
// answers nothing.
type Prompt struct {
	Say      func(text string)      // what a plugin has to say; nil drops it
	Password func() ([]byte, error) // opens an identity file under a passphrase; nil refuses
	Terminal bool                   // plugins may ask on the controlling terminal
}

// ui is p as plugins see it. A callback that is missing makes a request fail,
// which the plugin then reports.
func (p Prompt) ui() *plugin.ClientUI {
	say := func(format string, a ...any) {
		if p.Say != nil {
			p.Say(fmt.Sprintf(format, a...))
		}
	}
	if p.Terminal {
		return plugin.NewTerminalUI(say, say)
	}
	return &plugin.ClientUI{
		DisplayMessage: func(name, text string) error { say("age-plugin-%s: %s", name, text); return nil },
		WaitTimer:      func(name string) { say("waiting for age-plugin-%s", name) },
	}
}
