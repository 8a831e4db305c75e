package kernel

import "testing"

func TestParseOOMKill(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	const uid = "0f2e6a10-1111-4222-8333-444455556666"
	for name, c := range map[string]struct {
		text string
		want OOMKill
		ok   bool
	}{
		"v1":      {"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task_memcg=/kubepods/burstable/pod" + uid + "/" + id + ",task=java,pid=7,uid=0", OOMKill{PodUID: uid, ContainerID: id, Task: "java", PID: "7"}, true},
		"systemd": {"[  9.1] oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/kubepods.slice/kubepods-burstable-pod0f2e6a10_1111_4222_8333_444455556666.slice/cri-containerd-" + id + ".scope,task=a b,pid=7,uid=0", OOMKill{PodUID: uid, ContainerID: id, Task: "a b", PID: "7"}, true},
		"node":    {"oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/kubepods/pod" + uid + "/x,task=java,pid=7,uid=0", OOMKill{PodUID: uid, Task: "java", PID: "7", NodeWide: true}, true},
		"no pod":  {"oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/system.slice/ssh.service,task=sshd,pid=7", OOMKill{Task: "sshd", PID: "7", NodeWide: true}, false},
		"other":   {"Killed process 7 (java)", OOMKill{}, false},
	} {
		got, ok := ParseOOMKill(c.text)
		if ok != c.ok || ok && (got.PodUID != c.want.PodUID || got.ContainerID != c.want.ContainerID || got.Task != c.want.Task || got.PID != c.want.PID || got.NodeWide != c.want.NodeWide) {
			t.Errorf("%s: %+v %v", name, got, ok)
		}
	}
}

func FuzzParseOOMKill(f *testing.F) {
	f.Add("oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/kubepods/pod0f2e6a10-1111-4222-8333-444455556666,task=java,pid=7")
	f.Fuzz(func(t *testing.T, text string) {
		if k, ok := ParseOOMKill(text); ok && (k.PID == "" || k.PodUID == "" && k.ContainerID == "") {
			t.Errorf("%+v", k)
		}
	})
}
