// Package e2e holds the tests that need a real Kubernetes cluster: they boot
// the one of samples/cluster, break it in one way after another, and hold
// what casefile finds against what was broken. They run with E2E=1, and then
// fail where they would otherwise skip.
package e2e
