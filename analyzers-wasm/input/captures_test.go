package input

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

// rawPackets is a pcap file of IP packets, a millisecond apart.
func rawPackets(packets ...[]byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, 65535), 101)
	for i, p := range packets {
		b = le.AppendUint32(le.AppendUint32(b, 1700000000), uint32(i)*1000)
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(p))), uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// ipPacket puts a transport header and payload into IPv4.
func ipPacket(proto, src, dst byte, rest []byte) []byte {
	b := []byte{0x45, 0, 0, byte(20 + len(rest)), 0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, src, 10, 0, 0, dst}
	return append(b, rest...)
}

func TestCaptures(t *testing.T) {
	syn := ipPacket(6, 1, 2, []byte{0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0})
	rst := ipPacket(6, 2, 1, []byte{0, 80, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 10, 0x50, 20, 0, 0, 0, 0, 0, 0})
	query := append([]byte{0x9c, 0x41, 0, 53, 0, 27, 0, 0}, 0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 1, 0, 1)
	nx := append([]byte{0, 53, 0x9c, 0x41, 0, 27, 0, 0}, 0, 7, 0x81, 3, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 1, 0, 1)
	file := rawPackets(syn, rst, ipPacket(17, 1, 3, query), ipPacket(17, 3, 1, nx))
	spool := &memSpool{}
	ps, err := Project(context.Background(), fstest.MapFS{
		resultsPath:                        {Data: []byte("{\"source\":\"capture/x\",\"path\":\"captures/x/n1__4026532000.pcapng\",\"status\":\"ok\"}\n")},
		"captures/x/n1__4026532000.pcapng": {Data: file},
		"captures/x/n1__4026532000.json":   {Data: []byte(`{"started":"2023-11-14T22:13:20Z","millis":5}`)},
		"captures/y/n2__host.pcapng":       {Data: file[:len(file)-3]},
	}, []Request{{Spool: spool, Inputs: []abi.Input{
		{Name: "a", Flows: "captures/x/*.pcapng", Fields: []string{"path", "proto", "state", "resetBy", "b.port"}},
		{Name: "b", Flows: "*", Fields: []string{"capture"}, Form: abi.FormNDJSON},
		{Name: "c", DNS: "captures/x/*.pcapng"},
	}}}, Limits{})
	if err != nil || ps[0].Err() != nil {
		t.Fatal(err, ps[0].Err())
	}
	files := map[string]string{}
	for _, f := range ps[0].Files() {
		files[f.Path] = spool.text(t, f)
	}
	for name, want := range map[string]string{
		"in/a.ndjson": `{"_at":1,"_node":"n1","_netns":4026532000,"path":"captures/x/n1__4026532000.pcapng","proto":"tcp","state":"reset","resetBy":"b","b":{"port":80}}
{"_at":2,"_node":"n1","_netns":4026532000,"path":"captures/x/n1__4026532000.pcapng","proto":"udp","b":{"port":53}}
`,
		"in/b.ndjson": `{"_at":3,"_node":"n1","_netns":4026532000,"capture":"x"}
{"_at":4,"_node":"n1","_netns":4026532000,"capture":"x"}
{"_at":6,"_node":"n2","capture":"y"}
{"_at":7,"_node":"n2","capture":"y"}
`,
		"in/c.ndjson": `{"_at":5,"_node":"n1","_netns":4026532000,"capture":"x","path":"captures/x/n1__4026532000.pcapng","proto":"udp","client":"10.0.0.1","port":40001,"server":"10.0.0.3",` +
			`"id":7,"name":"x","type":"A","first":1700000000.002,"tries":1,"packet":3,"answerPacket":4,"latency":0.001,"time":0.001,"rcode":"NXDOMAIN"}` + "\n",
	} {
		if diff := cmp.Diff(want, files[name]); diff != "" {
			t.Error(name, diff)
		}
	}
	index := ps[0].Index()
	if !index["a"].Complete || index["b"].Complete || len(index["b"].Missing) != 1 {
		t.Errorf("%+v", index)
	}
	place, ok, err := ps[0].Resolve(2)
	if err != nil || !ok || place.Path != "captures/x/n1__4026532000.pcapng" || place.Packet != 3 {
		t.Errorf("%+v %v %v", place, ok, err)
	}
}
