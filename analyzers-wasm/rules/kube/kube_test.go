package kube

import (
	"encoding/json"
	"testing"
)

func TestOwner(t *testing.T) {
	for text, want := range map[string]string{
		`{"metadata":{"namespace":"a","name":"p"}}`: "Pod a/p",
		`{"metadata":{"namespace":"a","name":"p","labels":{"pod-template-hash":"7d9f"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-7d9f","controller":true}]}}`: "Deployment a/web",
		`{"metadata":{"namespace":"a","name":"p","ownerReferences":[{"kind":"ReplicaSet","name":"bare-rs","controller":true}]}}`:                                        "ReplicaSet a/bare-rs",
		`{"metadata":{"namespace":"a","name":"p","ownerReferences":[{"kind":"Job","name":"late-28391820","controller":true}]}}`:                                         "CronJob a/late",
		`{"metadata":{"namespace":"a","name":"p","ownerReferences":[{"kind":"Job","name":"once","controller":true}]}}`:                                                  "Job a/once",
		`{"metadata":{"namespace":"kube-system","name":"etcd-n1","ownerReferences":[{"kind":"Node","name":"n1","controller":true}]}}`:                                   "Pod kube-system/etcd-n1",
		`{"metadata":{"namespace":"a","name":"p","ownerReferences":[{"kind":"X","name":"friend"},{"kind":"StatefulSet","name":"db","controller":true}]}}`:               "StatefulSet a/db",
	} {
		var p Pod
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if got := p.Owner(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	var p Pod
	if err := json.Unmarshal([]byte(`{"spec":{"containers":[{"ports":[{"name":"dns","containerPort":53,"protocol":"UDP"},{"name":"dns","containerPort":54}]}],
		"initContainers":[{"ports":[{"name":"proxy","containerPort":15001}]}]}}`), &p); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		`{"port":80}`: 80, `{"port":80,"targetPort":8080}`: 8080, `{"port":80,"targetPort":"8080"}`: 8080, `{"port":80,"targetPort":"dns"}`: 54,
		`{"port":80,"protocol":"UDP","targetPort":"dns"}`: 53, `{"port":80,"targetPort":"proxy"}`: 15001, `{"port":80,"targetPort":"none"}`: 0,
	} {
		var sp ServicePort
		if err := json.Unmarshal([]byte(text), &sp); err != nil {
			t.Fatal(err)
		}
		if got, ok := sp.Target(p); got != want || ok != (want > 0) {
			t.Errorf("%s: %d %v", text, got, ok)
		}
	}
}
