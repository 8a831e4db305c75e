package launch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// uploadLimit bounds the streaming of the agent into one pod.
const uploadLimit = 60 * time.Second

// chmodFunc makes a file executable with what an image may have.
const chmodFunc = `x() { chmod 0755 "$1" 2>/dev/null || busybox chmod 0755 "$1" 2>/dev/null || toybox chmod 0755 "$1" 2>/dev/null; [ -x "$1" ]; }
`

// waitScript is the first process of a container that lends its shell. It
// makes sure that the image has what is needed, waits a bounded time for the
// agent, and becomes it; containers that were not chosen end.
const waitScript = chmodFunc + `d=` + RunDir + `
: > $d/test-@NAME@ && x $d/test-@NAME@ && echo | cat > /dev/null && sleep 0 || exit 3
i=0
while [ $i -lt 60 ]; do
  [ -e $d/go-@NAME@ ] && exec ` + shellBinary + ` wait
  [ -e $d/ready ] && exit 0
  i=$((i+1)); sleep 1 || exit 3
done
exit 4
`

// uploadScript takes the agent from stdin, shows that it runs here, and says
// how long it became.
const uploadScript = chmodFunc + `d=` + RunDir + ` a=` + shellBinary + `
cat > $a || exit 5
x $a || exit 6
echo "size $({ wc -c || busybox wc -c; } < $a)"
$a version || exit 7
`

const startScript = `d=` + RunDir + `; : > $d/go-@NAME@ && : > $d/ready`

// upload streams the agent for arch into the container and starts it there.
func (l *Launcher) upload(ctx context.Context, p *pod, binary []byte) error {
	ctx, cancel := context.WithTimeout(ctx, uploadLimit)
	defer cancel()
	out, err := l.run(ctx, p, []string{"sh", "-c", uploadScript}, binary)
	if err != nil {
		return fmt.Errorf("streaming the agent into it: %w%s", err, noexecHint(err))
	}
	if err := checkUpload(out, binary); err != nil {
		return err
	}
	_, err = l.run(ctx, p, []string{"sh", "-c", strings.ReplaceAll(startScript, "@NAME@", p.container)}, nil)
	if err != nil {
		return fmt.Errorf("starting the streamed agent: %w", err)
	}
	return nil
}

// checkUpload holds the size that the node counted, or the digest that the
// agent took of itself, against what was sent.
func checkUpload(out, binary []byte) error {
	sum := sha256.Sum256(binary)
	if bytes.Contains(out, []byte(hex.EncodeToString(sum[:]))) {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "size "); ok && strings.TrimSpace(n) == fmt.Sprint(len(binary)) {
			return nil
		}
	}
	return fmt.Errorf("the streamed agent is damaged: sent %d bytes, the node says %q", len(binary), bytes.TrimSpace(out))
}

func noexecHint(err error) string {
	var exit interface{ ExitStatus() int }
	if !errors.As(err, &exit) {
		return ""
	}
	switch exit.ExitStatus() {
	case 5:
		return " (no room for it below /var/lib/kubelet?)"
	case 7:
		return " (it does not run there: another CPU, or /var/lib/kubelet is mounted noexec)"
	}
	return ""
}
