package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/casefile-io/casefile/collector/cluster"
)

func asNodes(all []cluster.Node) []corev1.Node {
	var out []corev1.Node
	for _, n := range all {
		out = append(out, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels}})
	}
	return out
}
