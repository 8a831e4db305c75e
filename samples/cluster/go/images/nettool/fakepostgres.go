package main

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// fakePostgres stands in for a PostgreSQL server where there is no image of
// one: it listens, holds at most so many connections, says in PostgreSQL's own
// words when it refuses one, and as a replica holds a connection to its
// primary. It speaks no SQL.
func fakePostgres(address, connections, primary string) {
	most, err := strconv.Atoi(connections)
	must(err)
	l, err := net.Listen("tcp", address)
	must(err)
	pgLog("LOG:  starting fake-postgres, a stand-in for PostgreSQL in tests")
	pgLog("LOG:  database system is ready to accept connections")
	if primary != "" {
		go follow(primary)
	}
	var mu sync.Mutex
	open := 0
	for {
		c, err := l.Accept()
		must(err)
		mu.Lock()
		full := open >= most
		if !full {
			open++
		}
		mu.Unlock()
		if full {
			pgLog("FATAL:  sorry, too many clients already")
			c.Close()
			continue
		}
		go func() {
			var b [512]byte
			for {
				if _, err := c.Read(b[:]); err != nil {
					break
				}
			}
			c.Close()
			mu.Lock()
			open--
			mu.Unlock()
		}()
	}
}

// follow keeps a connection to the primary, and says when there is none.
func follow(primary string) {
	for {
		c, err := net.DialTimeout("tcp", primary, 2*time.Second)
		if err != nil {
			pgLog(`FATAL:  could not connect to the primary server: connection to server at "` + primary + `" failed: ` + err.Error())
			time.Sleep(2 * time.Second)
			continue
		}
		pgLog("LOG:  started streaming WAL from primary at 0/5000000 on timeline 1")
		var b [512]byte
		for err == nil {
			_, err = c.Read(b[:])
		}
		c.Close()
		pgLog("FATAL:  could not receive data from WAL stream: server closed the connection unexpectedly")
		time.Sleep(2 * time.Second)
	}
}

func pgLog(line string) {
	fmt.Println(time.Now().UTC().Format("2006-01-02 15:04:05.000"), "UTC [1]", line)
}
