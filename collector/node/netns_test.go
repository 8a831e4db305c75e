//go:build linux

package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestGroupNamespaces(t *testing.T) {
	procs := []process{
		{pid: 1, netns: 1},
		{pid: 10, netns: 1, podUID: hash, containerID: id}, // host network
		{pid: 20, netns: 3, podUID: hash},                  // a static pod's pause container
		{pid: 21, netns: 3, podUID: hash, containerID: id2},
		{pid: 30, netns: 2, podUID: uid, containerID: id},
		{pid: 31, netns: 2, podUID: uid, containerID: id},
		{pid: 40, netns: 4, podUID: uid}, // a nested node
		{pid: 41, netns: 4, podUID: hash},
		{pid: 42, netns: 4, podUID: uid},
		{pid: 50}, // ended meanwhile
		{pid: 60, netns: 5},
	}
	pods := []Pod{{UID: uid, Namespace: "a", Name: "b"}, {UID: "api", Namespace: "kube-system", Name: "static", Containers: map[string]string{id2: "c"}}}
	want := []Netns{
		{Inode: 1, Host: true, PID: 1},
		{Inode: 2, PID: 30, PodUID: uid, PodNamespace: "a", PodName: "b", Containers: []string{id}},
		{Inode: 3, PID: 20, PodUID: "api", PodNamespace: "kube-system", PodName: "static", Containers: []string{id2}},
		{Inode: 4, PID: 40},
		{Inode: 5, PID: 60},
	}
	if diff := cmp.Diff(want, groupNamespaces(procs, 1, pods), cmpopts.IgnoreUnexported(Netns{})); diff != "" {
		t.Error(diff)
	}
}
