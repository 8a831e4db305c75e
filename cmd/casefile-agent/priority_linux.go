package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// How little of a busy node an agent takes. Captures must keep up with their
// packets, and probes measure time; what only reads may take its own.
const (
	niceToMeasure = 10
	niceToRead    = 19
)

// beNice lowers the priority of every thread that there is; those to come
// inherit it. It may fail, and then the work goes on as it is.
func beNice(niceness int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, niceness)
		}
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
