// Command postgres is an analyzer as the vendor of a PostgreSQL operator would
// ship it: it knows the operator's custom resource (crd.yaml), the log lines of
// PostgreSQL, its connections, and the disk below PGDATA. README.md tells how
// it is built, tested, signed and run.
//
//	GOOS=wasip1 GOARCH=wasm go build -ldflags='-s -w' -o postgres.wasm .
package main

import "github.com/casefile-io/casefile/sdk"

func main() { sdk.Main(analyzer()) }

func analyzer() sdk.Analyzer {
	return sdk.Analyzer{
		Name: "postgres-operator", Version: "1.0.0",
		Doc: "Clusters of the PostgreSQL operator (postgres.example.com): connections, replication, archive, disk",
		Rules: []sdk.Rule{
			connectionsExhausted(), idlePileUp(), replicaNotStreaming(), synchronousStandbyMissing(), archiveFailing(), dataDiskFull(),
		},
		Limits: sdk.Limits{MemoryMiB: 128},
	}
}

// The inputs. What all rules declare alike is read once.

func clustersInput() sdk.RowSource[Cluster] {
	return sdk.Resource[Cluster]("clusters", "postgres.example.com/v1/clusters")
}

func podsInput() sdk.RowSource[Pod] { return sdk.Resource[Pod]("pods", "v1/pods") }

func claimsInput() sdk.RowSource[Claim] {
	return sdk.Resource[Claim]("claims", "v1/persistentvolumeclaims")
}

func nodesInput() sdk.RowSource[Node] { return sdk.Table[Node]("nodes", "nodes/*/node.json") }

// socketsInput has the connections from and to the port of PostgreSQL, of all
// pods: the host throws the others away before they reach the module.
func socketsInput() sdk.RowSource[Socket] {
	return sdk.Table[Socket]("sockets", "nodes/*/netns/*/0/net/sockets.ndjson").
		Where("row.proto == 'tcp' && (row.sport == 5432 || row.dport == 5432)")
}

func mountsInput() sdk.RowSource[Mount] {
	return sdk.Table[Mount]("mounts", "nodes/*/mounts.ndjson").Where("has(row.podUID)")
}

// logInput has the lines that tell something, of containers named postgres.
// The level before the words keeps out statements that quote them; the
// operator sets lc_messages to C.
func logInput() sdk.RowSource[sdk.LogLine] {
	return sdk.Logs("log", "*/*/postgres", `FATAL: +(?P<refused>sorry, too many clients already|remaining connection slots are reserved)`+
		`|FATAL: .*(?P<stream>could not receive data from WAL stream|could not connect to the primary server)`+
		`|(LOG|FATAL): +(?P<archive>archive command (failed with exit code|was terminated by signal) (?P<code>\d+))`)
}
