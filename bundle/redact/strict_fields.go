package redact

import "strings"

// action says what a string is, by the name of the field that holds it.
type action uint8

const (
	asText      action = iota
	asKnown            // mapped as a whole if it is a known name, even an ordinary word
	asNamespace        // the name of a namespace, known or not
	asNode
	asHost
	asUser
	asSubject // of a role binding
	asID      // of a machine
	asPath    // of an entry of the bundle
	asFirst   // the first of an array is a known name
	asTarget  // pod/NAMESPACE/NAME, node/NAME, service/NAMESPACE/NAME, tcp://HOST, then perhaps :PORT
)

// role says what an object is, by the name of the field that holds it.
type role uint8

const (
	noRole      role = iota
	itselfRole       // an object of its own, a line, or its metadata
	refRole          // it names another object
	subjectRole      // it names a user, a group or a service account
	labelsRole       // its values are names at times
)

// fieldAction returns what a string in the field of an object of a role is.
func fieldAction(name string, of role) action {
	if of == labelsRole {
		return asKnown
	}
	switch name {
	case "name", "generateName":
		switch of {
		case itselfRole, refRole:
			return asKnown
		case subjectRole:
			return asSubject
		}
		return asText
	case "namespace", "podNamespace", "targetNamespace", "sourceNamespace", "namespaces":
		return asNamespace
	case "nodeName", "node", "nominatedNodeName", "nodes", "nodeNames":
		return asNode
	case "host", "hosts", "hostname", "hostnames", "hostName", "externalName", "dnsName", "dnsNames", "searches", "domain", "fqdn", "address",
		"commonName", "issuerCommonName", "serverName", "sni", "nameservers", "registry", "qname", "qnames", "muslQnames", "answers", "redirectHost":
		return asHost
	case "target", "from", "between":
		return asTarget
	case "serviceAccountName", "serviceAccount", "claimName", "volumeName", "secretName", "configMapName", "podName", "pod", "pods", "service",
		"serviceName", "container", "targets", "values", "resourceNames", "group", "subdomain", "object", "app", "release", "interface":
		return asKnown
	case "user", "username", "userName", "users", "login", "runAsUserName":
		return asUser
	case "providerID", "machineID", "systemUUID", "bootID", "machineId", "bootId", "machine_id", "boot_id", "instanceID", "instanceId", "serial", "volumeHandle":
		return asID
	case "path", "paths", "file":
		return asPath
	case "cells":
		return asFirst
	}
	return asText
}

// fieldRole returns the role of the objects in a field.
func fieldRole(name string) role {
	switch name {
	case "metadata", "items", "node", "pod":
		return itselfRole
	case "labels", "matchLabels", "selector", "nodeSelector", "annotations", "podSelector", "namespaceSelector":
		return labelsRole
	case "subjects", "subject":
		return subjectRole
	case "involvedObject", "regarding", "related", "service", "services", "configMap", "secret", "persistentVolumeClaim", "parametersRef", "backend", "backendRefs",
		"parentRefs", "imagePullSecrets", "secrets", "details", "object", "owner", "affected", "peer":
		return refRole
	}
	for _, end := range []string{"Ref", "Refs", "Reference", "References"} {
		if strings.HasSuffix(name, end) {
			return refRole
		}
	}
	return noRole
}
