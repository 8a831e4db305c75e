// Package crowd fills the network namespace of the calling thread with sockets
// and tracked connections, as many as a large node has. It is for benchmarks.
package crowd
